package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeFlag is the value of a flag that names a time: in RFC 3339, or as an age
// such as 90m, 36h or 7d.
type timeFlag struct {
	text string
	time time.Time // zero: not given
}

// String returns the value as it was given.
func (f *timeFlag) String() string { return f.text }

// Type returns the name of the value in help.
func (f *timeFlag) Type() string { return "time" }

// Set reads the value.
func (f *timeFlag) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		age, ok := parseAge(s)
		if !ok || age < 0 {
			return fmt.Errorf("must be a time such as 2026-11-01T06:00:00Z, or an age such as 36h or 7d; is %q", s)
		}
		t = time.Now().Add(-age)
	}
	f.text, f.time = s, t
	return nil
}

// parseAge parses a duration, which may be in days.
func parseAge(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
