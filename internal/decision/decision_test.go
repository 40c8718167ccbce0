package decision_test

import (
	"testing"
	"time"

	"verdict/internal/decision"
)

func TestExpiredCountsAnyGivenExpiry(t *testing.T) {
	now := time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)
	for expiry, want := range map[string]bool{
		`null`:                        false,
		`"2026-11-01T06:00:00Z"`:      false, // not past it yet
		`"2026-11-01T05:59:59.999Z"`:  true,
		`"2026-11-01T06:59:59+01:00"`: true,
		`"2099-01-01T00:00:00Z"`:      false,
		`"0001-01-01T00:00:00Z"`:      true, // Go's zero time, which a Go program upstream may send
	} {
		d, err := decision.Decode(record(`{` + pass + `,"expires_at":` + expiry + `}`))
		if err != nil || d.Expired(now) != want {
			t.Errorf("expires_at %s: expired %t, %v; want %t", expiry, d.Expired(now), err, want)
		}
	}
}
