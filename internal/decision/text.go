package decision

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine returns s fit for a header or a log line: valid UTF-8 without control
// characters, at most size bytes, an ellipsis in place of what was cut.
func OneLine(s string, size int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= size {
		return s
	}
	more := "…"
	if size < len(more) {
		more = ""
	}
	cut := size - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

// Cell returns text fit for a cell of CSV that a person opens in a spreadsheet, which would
// carry out what begins like a formula: such text gets an apostrophe in front.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// maxShown bounds an untrusted value in a message, in bytes: a message must stay
// one line of bounded length whatever the record holds.
const maxShown = 48

// quote returns s in quotes for a message, shortened.
func quote(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// showJSON returns a JSON value for a message. A string keeps its quotes, so that
// 5 and "5" look different.
func showJSON(raw []byte) string {
	s := string(raw)
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quote(s)
	}
	return OneLine(s, maxShown)
}
