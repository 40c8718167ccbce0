package check

import (
	"strings"
	"testing"
	"time"
)

func TestAPIClockComparesWithinASecond(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		date   time.Time
		status Status
		detail string
	}{
		{time.Time{}, OK, "the API did not send its time"},
		{now.Add(-4 * time.Second), OK, "within 5s"},
		{now.Add(4 * time.Second), OK, "within 5s"},
		{now.Add(-time.Minute), Warn, "this machine is 59s or more ahead of the API"},
		{now.Add(time.Minute), Warn, "this machine is 59s or more behind the API"},
	} {
		var f Findings
		checkAPIClock(&f, c.date, now, now.Add(time.Second))
		if len(f) != 1 || f[0].Name != "clock/api" || f[0].Status != c.status || !strings.Contains(f[0].Detail, c.detail) {
			t.Errorf("%v: %+v, want %s and %q", c.date, f, c.status, c.detail)
		}
	}
}
