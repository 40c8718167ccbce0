package configs

import "strings"

// maxCompared is how many bytes at the end of an unknown name are compared. It is
// longer than any key.
const maxCompared = 64

// Nearest returns the known name that is most like the unknown one; empty if
// nothing is known. A key in the wrong section counts as near too, because a lost
// indent is the usual mistake.
func Nearest(unknown string, known []string) string {
	unknown = strings.ReplaceAll(strings.ToLower(unknown), "-", "_")
	unknown = unknown[max(0, len(unknown)-maxCompared):]
	best, least := "", -1
	for _, k := range known {
		name := strings.ToLower(k)
		d := min(distance(unknown, name), distance(last(unknown), last(name))+2)
		if least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

// last returns a key without its section.
func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance returns the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0] // the cell above and to the left
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
