package term

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"verdict/internal/decision"
)

// Commas formats n with separators: 1,234,567.
func Commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural formats a count of things: "1 row", "1,234 rows".
func Plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Commas(int64(n)) + " " + noun + "s"
}

// PluralIs is Plural with its verb: "1 row is", "2 rows are".
func PluralIs[N int | int64](n N, noun string) string {
	if n == 1 {
		return Plural(n, noun) + " is"
	}
	return Plural(n, noun) + " are"
}

// Days formats a duration in days if it is a whole number of days, or ten days
// or more; a shorter one as usual.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= 10*day:
		return fmt.Sprintf("%dd", d.Round(day)/day)
	}
	return d.String()
}

// OneLine makes text from outside safe to print: one line of valid UTF-8 without
// control characters, which could steer the terminal.
func OneLine(text string) string { return decision.OneLine(text, math.MaxInt) }

// Setting formats a setting of a topic.
func Setting(key, value string) string { return key + " " + SettingValue(key, value) }

// SettingValue formats the value of a topic's setting, with its meaning if it is
// a time.
func SettingValue(key, value string) string {
	ms, err := strconv.ParseInt(value, 10, 64)
	switch {
	case key != "retention.ms" || err != nil:
		return value
	case ms < 0:
		return value + " (no limit)"
	}
	return fmt.Sprintf("%s (%s)", value, Days(time.Duration(ms)*time.Millisecond))
}

// Wrap breaks text into lines of at most width bytes, each with the indent. A
// longer word gets a line of its own.
func Wrap(text string, width int, indent string) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	if line != indent {
		b.WriteString(line + "\n")
	}
	return b.String()
}
