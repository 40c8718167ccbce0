package pacer

import (
	"math"
	"time"
)

const (
	// countdown is how long a reset of a second or less is believed to be the end of
	// a longer one. A reset that is always that short belongs to an allowance that
	// refills faster than an answer takes, about which it says nothing: in whole
	// seconds it means anything up to one. Such an allowance is learned from 429s.
	countdown = 2 * time.Second
	// coarseError is taken off a reset in whole seconds, which is rounded up.
	coarseError = time.Second / 4
)

// quota slows calls down before a 429, by what the API says is left: the remaining
// calls are spread over the time until the allowance is whole again. So it uses up a
// fixed window, and a bucket that takes seconds to refill, without a 429.
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
	if a.Reset <= 0 || now.Sub(q.long) > countdown {
		q.expires = time.Time{}
		return
	}
	left := a.Reset
	if a.Coarse {
		left -= coarseError
	}
	q.perSecond = float64(a.Remaining) / left.Seconds()
	q.expires = now.Add(a.Reset)
}

// at returns the calls a second of the group at now; +Inf: no limit is known.
func (q *quota) at(now time.Time) float64 {
	if !now.Before(q.expires) {
		return math.Inf(1)
	}
	return q.perSecond
}
