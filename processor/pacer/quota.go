package pacer

import (
	"math"
	"time"
)

// quota slows calls down before a 429, by what the API says is left: the remaining
// calls are spread over the time until the allowance is whole again. It uses up a
// fixed window exactly.
type quota struct {
	perSecond float64   // of the group
	expires   time.Time // zero: nothing is known
	long      time.Time // when a reset of more than a second was last seen
}

// note takes over what an answer says.
func (q *quota) note(a Answer, now time.Time) {
	if a.Reset > time.Second {
		q.long = now
	}
	if a.Reset <= 0 || now.Sub(q.long) > 2*time.Second {
		q.expires = time.Time{}
		return
	}
	left := a.Reset.Seconds()
	if a.Coarse {
		left -= 0.25
	}
	q.perSecond = float64(a.Remaining) / left
	q.expires = now.Add(a.Reset)
}

// at returns the calls a second of the group at now; +Inf: no limit is known.
func (q *quota) at(now time.Time) float64 {
	if !now.Before(q.expires) {
		return math.Inf(1)
	}
	return q.perSecond
}
