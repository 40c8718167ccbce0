package processor

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/passfort"
	"verdict/metrics"
)

// limiter gives out the tokens that every call takes, look-ups and probes
// included. Four things bound it; the least of them counts:
//
//   - the configured rate times this instance's share of the group's partitions
//   - a cut after each 429, which heals with time
//   - what the API says is left until its own limit is full again
//   - a hold: no token at all until a time that the API named
//
// A bucket begins empty whenever the share changes or a hold is over. When a
// partition moves, the instance that had it stops before the one that gets it
// begins, so the calls of both together stay below rate + burst in any second.
type limiter struct {
	metrics *metrics.Metrics

	mu        sync.Mutex // short pure sections only
	rate      float64    // calls a second, configured; +Inf: unlimited
	burst     int        // configured
	part      float64    // of the group's partitions that this instance owns, 0 to 1
	bucket    *rate.Limiter
	limit     float64   // that the bucket has
	cutTo     float64   // calls a second of the group right after the last 429
	cutAt     time.Time // of the last 429; zero: none in sight
	ceiling   float64   // calls a second of the group, by the API's own counting
	ceilingTo time.Time // until then it holds
	holdTo    time.Time // no call before
	given     counter   // of tokens, so that an unlimited rate can be cut too
	changed   chan struct{}
}

// healing is how long a cut takes to heal from nothing to the whole rate.
const healing = time.Minute

// ceilingFloor is the least share of the rate that the API's own counting may
// slow calls down to: its hard word is a 429, and a header that is wrong or
// hostile must not stop the service.
const ceilingFloor = 0.05

// newLimiter has no share yet, so it gives out nothing. perSecond 0: unlimited.
func newLimiter(perSecond float64, burst int, m *metrics.Metrics) *limiter {
	if perSecond == 0 {
		perSecond = math.Inf(1)
	}
	l := &limiter{metrics: m, rate: perSecond, burst: burst, changed: make(chan struct{})}
	l.empty(time.Now())
	return l
}

// share sets the part of the rate that this instance may use, 0 to 1.
func (l *limiter) share(part float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if part == l.part {
		return
	}
	l.part = part
	l.empty(latest(time.Now(), l.holdTo))
	l.wakeAll()
}

// empty begins anew with an empty bucket. Under mu.
func (l *limiter) empty(now time.Time) {
	l.limit = l.allowed(now)
	burst := max(int(float64(l.burst)*l.part), 1)
	l.bucket = rate.NewLimiter(rate.Limit(l.limit), burst)
	l.bucket.AllowN(now, burst)
	l.metrics.RateLimit.Set(l.limit)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wakeAll makes everyone who waits for a token ask again. Under mu.
func (l *limiter) wakeAll() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// allowed is the rate at now, in calls a second: this instance's part of the
// group's. Under mu.
func (l *limiter) allowed(now time.Time) float64 {
	if l.part == 0 {
		return 0
	}
	return l.whole(now) * l.part
}

// whole is the rate of the group at now, in calls a second. What cuts it is kept
// for the group, since the part may be another by the time that it counts, or none
// when it is learned. Under mu.
func (l *limiter) whole(now time.Time) float64 {
	allowed := l.rate
	if !l.cutAt.IsZero() {
		healed := now.Sub(l.cutAt).Seconds() / healing.Seconds()
		switch {
		case healed >= 1:
			l.cutAt = time.Time{}
		case math.IsInf(l.rate, 1):
			allowed = l.cutTo * (1 + 9*max(healed, 0)) // then free again
		default:
			allowed = l.cutTo + (l.rate-l.cutTo)*max(healed, 0)
		}
	}
	if now.Before(l.ceilingTo) {
		allowed = min(allowed, max(l.ceiling, l.floor()))
	}
	return allowed
}

// floor is the least that the API's own counting may slow the group down to, in
// calls a second.
func (l *limiter) floor() float64 {
	if math.IsInf(l.rate, 1) {
		return 1
	}
	return l.rate * ceilingFloor
}

// wait takes one token. The error is that of ctx.
func (l *limiter) wait(ctx context.Context) error {
	began := time.Now()
	for {
		l.mu.Lock()
		now := time.Now()
		pause := l.holdTo.Sub(now)
		var token *rate.Reservation
		if pause <= 0 {
			if allowed := l.allowed(now); math.Abs(allowed-l.limit) > l.limit/100 || allowed == math.Inf(1) != (l.limit == math.Inf(1)) {
				l.limit = allowed
				l.bucket.SetLimitAt(now, rate.Limit(allowed))
				l.metrics.RateLimit.Set(allowed)
			}
			if l.limit > 0 {
				token = l.bucket.ReserveN(now, 1)
				pause = token.DelayFrom(now)
			} else {
				pause = time.Hour // until the share changes
			}
		}
		if token != nil && pause == 0 {
			l.given.add(now)
			l.mu.Unlock()
			l.metrics.RateLimitWait.Observe(now.Sub(began).Seconds())
			return nil
		}
		changed := l.changed
		l.mu.Unlock()

		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			if token == nil {
				continue // the hold is over
			}
			l.mu.Lock()
			now := time.Now()
			if changed == l.changed && !now.Before(l.holdTo) {
				l.given.add(now)
				l.mu.Unlock()
				l.metrics.RateLimitWait.Observe(now.Sub(began).Seconds())
				return nil
			}
			l.mu.Unlock()
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			if token != nil {
				token.Cancel()
			}
			return ctx.Err()
		}
		// What was reserved belongs to a bucket that is gone, or comes in a hold.
	}
}

// throttled holds everyone for as long as the API asked, and cuts the rate.
func (l *limiter) throttled(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	until := now.Add(wait)
	if now.Before(l.holdTo) && !until.After(l.holdTo) {
		return // one of the calls that were under way together: one cut is enough
	}
	if !now.Before(l.holdTo) { // not merely a longer hold
		before := l.whole(now)
		if math.IsInf(before, 1) {
			before = max(l.given.perSecond(now), 1)
			if l.part > 0 {
				before /= l.part
			}
		}
		l.cutTo = before / 2
	}
	l.holdTo, l.cutAt = until, until
	l.empty(until)
	l.wakeAll()
}

// heldUntil is when the present hold is over; not after now: there is none.
func (l *limiter) heldUntil() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holdTo
}

// heed slows calls down before a 429, by what an answer says is left: to spread
// the calls that remain over the time until the allowance is whole again. For
// GCRA this settles at the limit itself with half of the allowance in hand; for
// a fixed window it uses the window up exactly.
func (l *limiter) heed(r passfort.RateLimit) {
	if r.Remaining < 0 || !r.HasReset {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if r.Reset <= 0 {
		l.ceilingTo = time.Time{}
		return
	}
	l.ceiling = float64(r.Remaining) / r.Reset.Seconds()
	l.ceilingTo = now.Add(r.Reset)
}

// counter counts tokens of the present and the last second.
type counter struct {
	second  int64
	now     int
	earlier int
}

func (c *counter) add(now time.Time) {
	c.turn(now)
	c.now++
}

func (c *counter) turn(now time.Time) {
	switch s := now.Unix(); {
	case s == c.second:
	case s == c.second+1:
		c.second, c.earlier, c.now = s, c.now, 0
	default:
		c.second, c.earlier, c.now = s, 0, 0
	}
}

func (c *counter) perSecond(now time.Time) float64 {
	c.turn(now)
	return float64(max(c.now, c.earlier))
}
