package decision

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxIDLength bounds the ID of a decision, in characters.
	MaxIDLength = 128
	// MaxKeyLength bounds a task's alias and type, in characters.
	MaxKeyLength = 256
)

// ValidID reports whether s has the shape of a profile or task ID: 8-4-4-4-12
// hexadecimal digits. It ignores version and variant, since the API's own
// samples are not RFC 4122 UUIDs.
func ValidID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// ValidDecisionID reports whether s can be the ID of a decision.
func ValidDecisionID(s string) bool { return printable(s, MaxIDLength) }

// ValidKey reports whether s can be the alias or type of a task.
func ValidKey(s string) bool { return printable(s, MaxKeyLength) }

// printable reports whether s has 1 to limit characters, all of them printable.
func printable(s string, limit int) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= limit && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0
}

// isWord reports whether s has the shape of an outcome or a reason, known or not.
func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}
