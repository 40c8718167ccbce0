package decision

import (
	"strings"
	"time"
)

// Time is a time as Verdict writes it: RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeFormat = "2006-01-02T15:04:05.000Z"

// String returns the time as results and headers have it.
func (t Time) String() string { return t.UTC().Format(timeFormat) }

// MarshalJSON returns the time as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

func (t Time) append(b []byte) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}

// parseTime reads an RFC 3339 time in upper case. time.Parse and
// Time.UnmarshalText accept more: an hour of one digit, a comma before the
// fraction, an offset of +24:60.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || s[len("2006-01-02T1")] == ':' || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	if zone := s[len(s)-len("+00:00"):]; !strings.HasSuffix(s, "Z") && (zone[1:3] > "23" || zone[4:] > "59") {
		return time.Time{}, false
	}
	return t, true
}
