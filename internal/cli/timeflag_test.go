package cli

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeFlagTakesTimesAndAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Time{
			"2026-11-01T06:00:00Z": time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
			"90m":                  now.Add(-90 * time.Minute),
			"7d":                   now.Add(-7 * 24 * time.Hour),
			"0s":                   now,
		} {
			var f timeFlag
			if err := f.Set(text); err != nil || !f.time.Equal(want) || f.String() != text {
				t.Errorf("%q: %v, %v, want %v", text, f.time, err, want)
			}
		}
		for _, text := range []string{"", "d", "-1h", "-1d", "1w", "tomorrow", "70000d"} {
			var f timeFlag
			if err := f.Set(text); err == nil {
				t.Errorf("%q: taken as %v", text, f.time)
			}
		}
	})
}
