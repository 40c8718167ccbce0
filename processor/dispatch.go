package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// assignment is what a worker does: an attempt at a decision, or the review of a
// profile.
type assignment interface {
	run(ctx context.Context)
	drop() // instead of run, when the processor ends
}

// dispatcher hands assignments to workers.
type dispatcher struct{ p *Processor }

// run dispatches until ctx ends. The token comes first and the choice after it, so
// that a token pays for the call that is most urgent when the token arrives, not
// when it was asked for.
func (d dispatcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		if again, ok := d.mayDispatch(); !ok {
			d.rest(ctx, again)
			continue
		}
		if d.p.tokens.wait(ctx) != nil {
			return
		}
		// A token that finds nothing to pay for (its decision was drained, or a
		// pause began) is lost, not kept: kept tokens would add up to a burst above
		// the limit.
		if w := d.choose(ctx); w != nil {
			select {
			case d.p.work <- w:
			case <-ctx.Done():
				w.drop()
				return
			}
		}
	}
}

// rest waits until something changes, or for at most limit (0: no limit).
func (d dispatcher) rest(ctx context.Context, limit time.Duration) {
	var due <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-d.p.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// mayDispatch reports whether a call could be made now, apart from its token. If
// not, again says in how long to ask again even if nothing changes (0: never).
func (d dispatcher) mayDispatch() (again time.Duration, ok bool) {
	p := d.p
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	again = d.ripen(now)
	if p.pauses.holdCalls() {
		return again, false
	}
	if _, ready := d.nextLane(); !ready {
		return again, false
	}
	if ready, in := p.breaker.Ready(now); !ready {
		return in, false
	}
	return 0, true
}

// ripen makes ready what is due at now, and ends a hold that is over. It returns
// how long until the next of these; 0: none is known. Under mu.
func (d dispatcher) ripen(now time.Time) (again time.Duration) {
	for _, due := range [...]time.Time{d.p.queue.Ripen(now), d.p.reviews.Ripen(now)} {
		if left := due.Sub(now); !due.IsZero() && (again == 0 || left < again) {
			again = left
		}
	}
	if left := d.p.throttle.lift(now); left > 0 && (again == 0 || left < again) {
		again = left
	}
	return again
}

// nextLane returns the lane whose turn it is, if any call may begin: a worker is
// free, and so few finished calls wait for Kafka's acknowledgement or for their
// profile's review that a crash now would not repeat too much. At that bound only
// reviews may begin. Under mu.
func (d dispatcher) nextLane() (decision.Lane, bool) {
	p := d.p
	if p.load.inFlight[decision.Live]+p.load.inFlight[decision.Backfill] >= p.opts.Workers {
		return 0, false
	}
	backfill := d.mayBackfill()
	if all, _ := d.full(); all {
		for _, lane := range decision.Lanes {
			if p.reviews.Ready(lane) && (lane == decision.Live || backfill) {
				return lane, true
			}
		}
		return 0, false
	}
	return p.share.Next(d.ready(decision.Live), backfill && d.ready(decision.Backfill))
}

// ready reports whether something in a lane can start. Under mu.
func (d dispatcher) ready(lane decision.Lane) bool {
	return d.p.queue.Ready(lane) || d.p.reviews.Ready(lane)
}

// mayBackfill keeps a tenth of the workers, at least one, and a tenth of what may
// wait to be acknowledged, free of backfill, so that a live decision always finds
// room. Under mu.
func (d dispatcher) mayBackfill() bool {
	p := d.p
	kept := min(keptForLive(p.opts.Workers), p.opts.Workers-1)
	_, full := d.full()
	return p.load.inFlight[decision.Backfill] < p.opts.Workers-kept && (!full || p.reviews.Ready(decision.Backfill))
}

// maxHeldBytes bounds the API's answers in results that wait for a review, in
// bytes. An answer is usually about 1 KiB, but may be 1 MiB.
const maxHeldBytes = 32 << 20

// full reports whether the bound on decisions that are done and not acknowledged is
// reached: by both lanes together, or by backfill, which may not take the last
// tenth. Backfill's calls in flight count too, since they will be done soon. Under
// mu.
func (d dispatcher) full() (all, backfill bool) {
	p := d.p
	most := maxSettling(p.opts.Workers)
	liveHeld, liveBytes := p.reviews.Waiting(decision.Live)
	heldCount, heldBytes := p.reviews.Waiting(decision.Backfill)
	waiting := p.load.settling[decision.Backfill] + heldCount
	all = waiting+p.load.settling[decision.Live]+liveHeld >= most || heldBytes+liveBytes >= maxHeldBytes
	backfill = waiting+p.load.inFlight[decision.Backfill] >= most-keptForLive(most) || heldBytes >= maxHeldBytes-keptForLive(maxHeldBytes)
	return all, backfill
}

// maxSettling bounds the decisions whose call is done and whose result is not
// acknowledged yet. At its bound dispatching waits.
func maxSettling(workers int) int { return 4 * workers }

// keptForLive returns the part of a bound that backfill may not take.
func keptForLive(n int) int { return (n + 9) / 10 }

// choose takes what goes next; nil: nothing may. Decisions that need no call are
// settled on the way, and do not use up the token.
func (d dispatcher) choose(ctx context.Context) assignment {
	p := d.p
	for {
		p.mu.Lock()
		now := time.Now()
		d.ripen(now)
		lane, ok := d.nextLane()
		if p.pauses.holdCalls() || !ok {
			p.mu.Unlock()
			return nil
		}
		permit, ok := p.breaker.Acquire(now)
		if !ok {
			p.mu.Unlock()
			return nil
		}
		j := d.begin(lane, permit)
		if j == nil {
			w := p.reviewer.begin(lane, permit)
			p.mu.Unlock()
			return w
		}
		settle := d.withoutCall(j, now)
		if settle == nil {
			p.share.Charge(lane, d.ready(decision.Backfill))
			p.mu.Unlock()
			return &attempt{p: p, job: j, permit: permit}
		}
		p.breaker.Unused(permit)
		p.mu.Unlock()
		p.settler.withoutCall(ctx, j, settle)
	}
}

// begin takes the decision of a lane that goes next; nil: a review goes before
// it. A probe takes a decision that was never tried, if there is one, so that one
// bad decision can't keep an outage up. Under mu.
func (d dispatcher) begin(lane decision.Lane, permit health.Permit) *job {
	p := d.p
	var i *queue.Item
	if permit.Probe {
		i = p.queue.TakeFirst(lane, func(i *queue.Item) bool { return jobOf(i).untried() })
	}
	if i == nil {
		if p.reviews.Ready(lane) {
			return nil
		}
		i = p.queue.Take(lane)
	}
	j := jobOf(i)
	j.spans.chosen()
	j.hold.active++
	p.load.startWork(j)
	return j
}
