package processor

import (
	"testing"
	"time"

	"verdict/internal/decision"
)

func TestLetterLogSaysOneAMinuteOfEachReason(t *testing.T) {
	var l letterLog
	now := time.Unix(0, 0)
	for _, c := range []struct {
		after  time.Duration
		reason decision.Reason
		want   int
	}{
		{0, decision.Rejected, 1},
		{0, decision.Rejected, 0},
		{0, decision.Conflict, 1},
		{time.Minute - 1, decision.Rejected, 0},
		{1, decision.Rejected, 3},
		{time.Second, decision.Rejected, 0},
		{time.Hour, decision.Conflict, 1},
		{0, decision.Rejected, 2},
	} {
		now = now.Add(c.after)
		if got := l.add(c.reason, now); got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.reason, now.Sub(time.Unix(0, 0)), got, c.want)
		}
	}
}
