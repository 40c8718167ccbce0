package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// pastTime is a flag's time: RFC 3339, or how long ago, as 90m, 36h or 7d.
type pastTime struct {
	text string
	time time.Time // zero: not given
}

func (p *pastTime) String() string { return p.text }

// Type is what --help calls the value.
func (p *pastTime) Type() string { return "time" }

// Set reads the flag's value.
func (p *pastTime) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d, ok := longDuration(s)
		if !ok || d < 0 {
			return fmt.Errorf("must be a time such as 2026-11-01T06:00:00Z, or how long ago, such as 36h or 7d; is %q", s)
		}
		t = time.Now().Add(-d)
	}
	p.text, p.time = s, t
	return nil
}

// longDuration is a duration that may be in days.
func longDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
