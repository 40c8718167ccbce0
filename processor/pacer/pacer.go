// Package pacer says when the next call to the API may go. It is pure: no lock,
// no clock, no goroutine. Time comes in as an argument, and the golang.org/x/time
// bucket inside is only asked for tokens of that time.
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
//   - the configured rate times this instance's share of the group's partitions
//   - a cut after each 429, which heals with time
//   - what the API says is left until its own limit is full again
//   - a hold: no token at all until a time that the API named
//
// The bucket starts empty whenever the share changes or a hold ends. When a
// partition moves, the instance that had it stops before the one that gets it
// starts, so both together stay below rate + burst in any second.
type Pacer struct {
	rate     float64 // calls a second, configured; +Inf: unlimited
	burst    int     // configured
	share    float64 // of the group's partitions that this instance owns, 0 to 1
	bucket   *rate.Limiter
	limit    float64   // of the bucket, in calls a second
	cutTo    float64   // calls a second of the group right after the last 429
	cutAt    time.Time // when that cut began to heal; zero: there is none
	ceiling  float64   // calls a second of the group that the API's own counting allows
	expires  time.Time // of ceiling
	holdTo   time.Time // no call before
	given    counter   // of tokens, so that an unlimited rate can be cut too
	revision uint64    // of the bucket and the hold: a reservation of an older one is void
}

// healing is how long a cut takes to heal from zero to the whole rate.
const healing = time.Minute

// minCeiling is the smallest part of the rate to which the API's own counting may
// slow calls down: to stop them it sends a 429, and a header that is wrong or
// hostile must not stop the service.
const minCeiling = 0.05

// noShare is how long to wait for a token while this instance has no share.
const noShare = time.Hour

// New returns a Pacer without a share, so it gives out nothing yet. perSecond is
// the rate of the group in calls a second; 0 is unlimited. burst is how many
// calls may go at once on top of it; at least 1.
func New(perSecond float64, burst int, now time.Time) *Pacer {
	if perSecond == 0 {
		perSecond = math.Inf(1)
	}
	p := &Pacer{rate: perSecond, burst: burst}
	p.restart(now)
	return p
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
// bucket that has been replaced is not, nor is one that falls into a hold.
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
	p.restart(latest(now, p.holdTo))
	return true
}

// Throttled holds all calls for wait, as the API asked with a 429, and cuts the
// rate. It reports whether that changes anything, which voids all reservations: a
// 429 to one of the calls that were under way together cuts no second time.
func (p *Pacer) Throttled(wait time.Duration, now time.Time) bool {
	until := now.Add(wait)
	held := now.Before(p.holdTo)
	if held && !until.After(p.holdTo) {
		return false
	}
	if !held { // else the hold only gets longer
		before := p.group(now)
		if math.IsInf(before, 1) {
			before = max(p.given.perSecond(now), 1)
			if p.share > 0 {
				before /= p.share
			}
		}
		p.cutTo = before / 2
	}
	p.holdTo, p.cutAt = until, until
	p.restart(until)
	return true
}

// Allowance slows calls down before a 429, by what the API says is left: the
// remaining calls are spread over the time until the allowance is whole again,
// reset from now. With GCRA the rate settles at the limit itself, with half of
// the allowance unused; a fixed window is used up exactly. A reset of 0 or less
// ends the slowdown.
func (p *Pacer) Allowance(remaining int, reset time.Duration, now time.Time) {
	if reset <= 0 {
		p.expires = time.Time{}
		return
	}
	p.ceiling = float64(remaining) / reset.Seconds()
	p.expires = now.Add(reset)
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

// adjust follows the rate as a cut heals and as the API's allowance changes.
func (p *Pacer) adjust(now time.Time) {
	allowed := p.allowed(now)
	if math.Abs(allowed-p.limit) > p.limit/100 || math.IsInf(allowed, 1) != math.IsInf(p.limit, 1) {
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

// group returns the calls a second of the group at now. Cuts and allowances are
// kept for the group, since the share may have changed by the time they apply, or
// may be 0 when they are learned.
func (p *Pacer) group(now time.Time) float64 {
	allowed := p.rate
	if !p.cutAt.IsZero() {
		healed := now.Sub(p.cutAt).Seconds() / healing.Seconds()
		switch {
		case healed >= 1:
			p.cutAt = time.Time{}
		case math.IsInf(p.rate, 1):
			allowed = p.cutTo * (1 + 9*max(healed, 0)) // and then unlimited again
		default:
			allowed = p.cutTo + (p.rate-p.cutTo)*max(healed, 0)
		}
	}
	if now.Before(p.expires) {
		allowed = min(allowed, max(p.ceiling, p.lowest()))
	}
	return allowed
}

// lowest returns the calls a second to which the API's own counting may slow the
// group down.
func (p *Pacer) lowest() float64 {
	if math.IsInf(p.rate, 1) {
		return 1
	}
	return p.rate * minCeiling
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
