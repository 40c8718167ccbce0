package configs

import "strings"

// maxCompared is how many bytes of an unknown name are compared; no key is as long.
const maxCompared = 64

// nearest is the known name most like the unknown one. A known last part in the
// wrong section counts as near too: most such faults are a lost indent.
func nearest(unknown string, known []string) string {
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

// last is the part of a key behind its section.
func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance is how many bytes have to be put in, left out or changed to make b
// of a (Levenshtein's distance).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0] // of the row above, left of the current column
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
