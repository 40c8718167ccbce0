package processor

import (
	"context"
	"time"

	"verdict/decision"
)

// dispatch hands decisions to workers until ctx ends. The token comes first and
// the choice after it: whatever was waiting when the token was asked for, the
// call that it pays for is the most urgent there is when it comes.
func (p *Processor) dispatch(ctx context.Context) {
	for ctx.Err() == nil {
		if again, ok := p.mayDispatch(); !ok {
			p.rest(ctx, again)
			continue
		}
		if p.limiter.wait(ctx) != nil {
			return
		}
		// A token that finds nothing to pay for (its decision was drained, or a
		// pause began) is let go, not kept: kept ones would add up to a burst
		// above the limit.
		if j := p.choose(ctx); j != nil {
			select {
			case p.jobs <- j:
			case <-ctx.Done():
				p.giveUp(j)
				return
			}
		}
	}
}

// rest waits until something changes, at most for d (0: without end).
func (p *Processor) rest(ctx context.Context, d time.Duration) {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-p.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// mayDispatch says whether a call could be made now, but for its token; if not,
// in how long it is worth looking again even if nothing happens (0: never).
func (p *Processor) mayDispatch() (again time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	due := p.queue.ripen(now)
	if !due.IsZero() {
		again = due.Sub(now)
	}
	if held := p.liftHold(now); held > 0 && (again == 0 || held < again) {
		again = held
	}
	if p.isPaused() || p.busy() {
		return again, false
	}
	if _, ready := p.queue.next(p.mayBackfill()); !ready {
		return again, false
	}
	if ready, in := p.breaker.ready(); !ready {
		return in, false
	}
	return 0, true
}

// isPaused says whether calls are held for a cause that is not the limiter's or
// the breaker's own. Under mu.
func (p *Processor) isPaused() bool {
	return p.paused[decision.PausedAuth] || p.paused[decision.PausedKafka]
}

// busy says whether no call may be begun: no worker is free, or so many
// finished calls wait for Kafka's acknowledgement that a crash now would repeat
// more than is fair. Under mu.
func (p *Processor) busy() bool {
	return p.inFlight[decision.Live]+p.inFlight[decision.Backfill] >= p.opts.Workers ||
		p.settling >= maxSettling(p.opts.Workers)
}

// maxSettling bounds the decisions whose call is done and whose result is not
// acknowledged yet. At its bound dispatching waits.
func maxSettling(workers int) int { return 4 * workers }

// mayBackfill keeps a tenth of the workers, at least one, free of backfill, so
// that a live decision always finds one. Under mu.
func (p *Processor) mayBackfill() bool {
	kept := min((p.opts.Workers+9)/10, p.opts.Workers-1)
	return p.inFlight[decision.Backfill] < p.opts.Workers-kept
}

// choose takes the decision that goes next. Those that need no call are settled
// on the way, and do not use the token up.
func (p *Processor) choose(ctx context.Context) *job {
	for {
		p.mu.Lock()
		now := time.Now()
		p.queue.ripen(now)
		p.liftHold(now)
		if p.isPaused() || p.busy() {
			p.mu.Unlock()
			return nil
		}
		lane, ok := p.queue.next(p.mayBackfill())
		if !ok {
			p.mu.Unlock()
			return nil
		}
		permit, ok := p.breaker.acquire()
		if !ok {
			p.mu.Unlock()
			return nil
		}
		j := p.queue.begin(lane, permit.probe)
		j.permit, j.working = permit, true
		j.hold.active++
		p.inFlight[lane]++
		p.opts.Metrics.InFlight.Inc()
		expired := j.dec.Expired(now)
		duplicate := !expired && j.dec.OwnID && j.attempts == 0 && p.knows(j)
		if !expired && !duplicate && j.instead == nil {
			p.queue.charge(lane)
			p.mu.Unlock()
			return j
		}
		p.mu.Unlock()

		p.breaker.release(permit, false, true)
		p.endUncalled(ctx, j, expired)
	}
}

// endUncalled ends a decision that needs no call: it expired, or is a duplicate,
// or was to be ended already when a panic came in between.
func (p *Processor) endUncalled(ctx context.Context, j *job, expired bool) {
	defer func() { p.rescue(j, recover()) }()
	switch {
	case j.instead != nil:
		j.instead(ctx)
	case expired:
		p.deadLetter(ctx, j, deadLetter{reason: decision.Expired, text: "it expired at " + decision.Time{Time: j.dec.ExpiresAt}.String()})
	default:
		p.result(ctx, j, result{outcome: decision.Duplicate})
	}
}

// knows says whether the job's ID was settled with a result already. Under mu.
func (p *Processor) knows(j *job) bool {
	r := p.recent[partition{j.rec.Topic, j.rec.Partition}]
	return r != nil && r.has(j.dec.ID)
}

// remember notes that the job's ID was settled with a result. Under mu.
func (p *Processor) remember(j *job) {
	if !j.dec.OwnID {
		return
	}
	at := partition{j.rec.Topic, j.rec.Partition}
	r := p.recent[at]
	if r == nil {
		r = newRecent()
		p.recent[at] = r
	}
	r.add(j.dec.ID)
}
