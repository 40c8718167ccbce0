// Package pacer says when the next call to the API may go. It is pure: no lock,
// no clock, no goroutine. Time comes in as an argument, and the golang.org/x/time
// bucket inside is only asked for tokens of that time.
//
// Invariants:
//
//   - In any second at most rate + burst tokens are given, by all instances of a
//     group together, whatever their shares are and however they change.
//   - No token is given before the end of a hold.
//   - One congestion event is one cut, and a cut has a floor: calls go on.
//   - Once the API accepts more, the configured rate is found again.
//
// It leaves waiting, and waking those who wait, to its owner. It knows neither
// metrics nor the API's client.
package pacer

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Pacer gives out the tokens that every call takes, look-ups and probes
// included. The least of four limits counts:
//
//   - the rate that is configured, or set since, times this instance's share of the group's partitions
//   - the allowance that was learned from 429s
//   - what the API says is left until its own limit is full again
//   - a hold: no token at all until a time that the API named
//
// The bucket starts empty whenever the rate or the share changes or a hold ends. When a
// partition moves, the instance that had it stops before the one that gets it
// starts, so both together stay below rate + burst in any second.
type Pacer struct {
	rate     float64 // calls a second; +Inf: unlimited
	burst    int     // configured
	share    float64 // of the group's partitions that this instance owns, 0 to 1
	bucket   *rate.Limiter
	limit    float64   // of the bucket, in calls a second
	learned  learned   // what the API accepts
	quota    quota     // what the API says is left
	given    meter     // of tokens, so that an unlimited rate can be cut
	holdTo   time.Time // no call before
	refusals int       // holds in a row after which the API accepted no call
	revision uint64    // of the bucket and the hold: a reservation of an older one is void
}

// A 429 that does not say how long to wait holds calls for firstHold, and twice as long
// each time that the API then accepts none.
const (
	firstHold   = 250 * time.Millisecond
	longestHold = time.Minute
)

// noShare is how long to wait for a token while this instance has no share.
const noShare = time.Hour

// New returns a Pacer without a share, so it gives out nothing yet. perSecond is
// the rate of the group in calls a second; 0 is unlimited. burst is how many
// calls may go at once on top of it; at least 1.
func New(perSecond float64, burst int) *Pacer {
	if perSecond == 0 {
		perSecond = math.Inf(1)
	}
	return &Pacer{rate: perSecond, burst: burst}
}

// Reservation is a token that can be used after Wait, if it is still valid then.
type Reservation struct {
	Wait     time.Duration
	token    *rate.Reservation // nil: there is none, ask again after Wait
	revision uint64
}

// Reserve takes a token or says how long to wait for one. A token without a wait
// is used at once; any other is used by Use or given back by Cancel.
func (p *Pacer) Reserve(now time.Time) Reservation {
	r := Reservation{Wait: p.holdTo.Sub(now), revision: p.revision}
	if r.Wait > 0 {
		return r
	}
	p.adjust(now)
	if p.limit == 0 {
		r.Wait = noShare
		return r
	}
	r.token = p.bucket.ReserveN(now, 1)
	if r.Wait = r.token.DelayFrom(now); r.Wait == 0 {
		p.given.add(now)
	}
	return r
}

// Use uses a token after its wait. It reports whether it was valid: a token of a
// bucket that was replaced meanwhile is not, nor is one that falls into a hold.
func (p *Pacer) Use(r Reservation, now time.Time) bool {
	if r.token == nil || r.revision != p.revision || now.Before(p.holdTo) {
		return false
	}
	p.given.add(now)
	return true
}

// Cancel gives back a token that is not used.
func (p *Pacer) Cancel(r Reservation, now time.Time) {
	if r.token != nil {
		r.token.CancelAt(now)
	}
}

// SetShare sets the part of the rate that this instance may use, 0 to 1. It
// reports whether that changes it, which voids all reservations.
func (p *Pacer) SetShare(share float64, now time.Time) bool {
	if share == p.share {
		return false
	}
	p.share = share
	p.learned.forgetAccepted()
	p.restart(latest(now, p.holdTo))
	return true
}

// SetRate sets the rate of the group in calls a second; 0 is unlimited. It reports whether
// that changes it, which voids all reservations.
func (p *Pacer) SetRate(perSecond float64, now time.Time) bool {
	if perSecond == 0 {
		perSecond = math.Inf(1)
	}
	if perSecond == p.rate {
		return false
	}
	p.rate = perSecond
	p.restart(latest(now, p.holdTo))
	return true
}

// Answer is what the API's answer to a call says about its limit.
type Answer struct {
	Began     time.Time     // when the call was made
	Throttled bool          // 429
	Wait      time.Duration // of a 429: until calls may go on; 0: it does not say
	Remaining int           // calls that may follow at once; -1: it does not say
	Reset     time.Duration // until the whole allowance is there again
	HasReset  bool          // it says Reset
	Coarse    bool          // Reset is in whole seconds
}

// Answered notes an answer. It reports whether that voids all reservations.
func (p *Pacer) Answered(a Answer, now time.Time) bool {
	if a.Remaining >= 0 && a.HasReset {
		p.quota.note(a, now)
	}
	isLate := a.Began.Before(p.holdTo) // it was under way before the present hold
	if !a.Throttled {
		p.learned.accept(a.Began, now)
		if !isLate {
			p.refusals = 0
		}
		return false
	}
	if !isLate {
		p.refusals++
	}
	until := now.Add(a.Wait)
	if a.Wait <= 0 && !isLate {
		until = now.Add(min(firstHold<<min(p.refusals-1, 30), longestHold))
	}
	p.learned.refuse(a.Began, now, until, p.present(now), p.share, minCut(p.rate))
	if !until.After(p.holdTo) {
		return false
	}
	p.holdTo = until
	p.restart(until)
	return true
}

// present returns the calls a second of the group at now: allowed or, where there
// is no limit, made.
func (p *Pacer) present(now time.Time) float64 {
	if group := p.group(now); !math.IsInf(group, 1) {
		return group
	}
	given, _ := p.given.rate(now)
	if p.share > 0 {
		given /= p.share
	}
	return max(given, 1)
}

// HeldUntil returns when the present hold ends; not after now: there is none.
func (p *Pacer) HeldUntil() time.Time { return p.holdTo }

// Limit returns the calls a second that this instance may make; +Inf: unlimited.
func (p *Pacer) Limit() float64 { return p.limit }

// restart begins with an empty bucket at now.
func (p *Pacer) restart(now time.Time) {
	p.revision++
	p.limit = p.allowed(now)
	burst := max(int(float64(p.burst)*p.share), 1)
	p.bucket = rate.NewLimiter(rate.Limit(p.limit), burst)
	p.bucket.AllowN(now, burst)
}

// adjust follows the rate as what is learned and what the API says change, in steps
// of half a per cent, and to the configured rate itself.
func (p *Pacer) adjust(now time.Time) {
	switch allowed := p.allowed(now); {
	case math.IsInf(p.limit, 1) && !math.IsInf(allowed, 1):
		p.restart(now) // a bucket without a limit does not count its tokens
	case math.Abs(allowed-p.limit) > p.limit/200, allowed != p.limit && allowed == p.rate*p.share:
		p.limit = allowed
		p.bucket.SetLimitAt(now, rate.Limit(allowed))
	}
}

// allowed returns the calls a second of this instance at now: its share of the
// group's.
func (p *Pacer) allowed(now time.Time) float64 {
	if p.share == 0 {
		return 0
	}
	return p.group(now) * p.share
}

// group returns the calls a second of the group at now. What limits it is kept for
// the group, since the share may be another one by the time it counts.
func (p *Pacer) group(now time.Time) float64 {
	perSecond := min(p.rate, p.learned.at(now, p.rate), max(p.quota.at(now), minQuota(p.rate)))
	if now.Sub(p.holdTo) > longestHold {
		return perSecond
	}
	// Where the API accepted nothing since the hold before, few calls find out whether it does.
	return min(perSecond, max(perSecond/math.Pow(2, float64(p.refusals-1)), minCut(p.rate)))
}

// minQuota returns the calls a second to which the API's headers may slow the group
// down: a 429 is its hard word, and a header that is wrong or hostile must not stop
// the service.
func minQuota(perSecond float64) float64 {
	if math.IsInf(perSecond, 1) {
		return 1
	}
	return perSecond / 20
}

// minCut returns the calls a second to which 429s may slow the group down. What the
// API really allows may be far less than what is configured.
func minCut(perSecond float64) float64 { return min(perSecond/20, 1) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
