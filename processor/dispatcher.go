package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
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
	if p.isPaused() {
		return again, false
	}
	if _, ready := p.next(); !ready {
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

// next is the lane whose turn it is, if any call may be begun: a worker is free,
// and not so many finished calls wait for Kafka's acknowledgement, or for the
// look at their profile, that a crash now would repeat more than is fair. Then
// only those looks may. Under mu.
func (p *Processor) next() (decision.Lane, bool) {
	switch {
	case p.inFlight[decision.Live]+p.inFlight[decision.Backfill] >= p.opts.Workers:
		return 0, false
	case p.full().all:
		return p.queue.nextLook(p.mayBackfill())
	}
	return p.queue.next(p.mayBackfill())
}

// full says whether as many decisions as may be are done and not acknowledged
// yet: of all, or of backfill, which may not take the last tenth. What backfill
// has in flight counts for it, since it will be done soon. Under mu.
func (p *Processor) full() (is struct{ all, backfill bool }) {
	most := maxSettling(p.opts.Workers)
	backfill := p.settling[decision.Backfill] + p.profiles.held[decision.Backfill]
	all := backfill + p.settling[decision.Live] + p.profiles.held[decision.Live]
	bytes := p.profiles.bytes[decision.Backfill]
	is.all = all >= most || bytes+p.profiles.bytes[decision.Live] >= maxHeldBytes
	is.backfill = backfill+p.inFlight[decision.Backfill] >= most-keptForLive(most) || bytes >= maxHeldBytes-keptForLive(maxHeldBytes)
	return is
}

// maxSettling bounds the decisions whose call is done and whose result is not
// acknowledged yet. At its bound dispatching waits.
func maxSettling(workers int) int { return 4 * workers }

// keptForLive is the share of what is bounded that backfill may not take.
func keptForLive(n int) int { return (n + 9) / 10 }

// mayBackfill keeps a tenth of the workers, at least one, free of backfill, and a
// tenth of what may wait to be acknowledged, so that a live decision always finds
// room. Under mu.
func (p *Processor) mayBackfill() bool {
	kept := min(keptForLive(p.opts.Workers), p.opts.Workers-1)
	return p.inFlight[decision.Backfill] < p.opts.Workers-kept && (!p.full().backfill || p.queue.lookFirst(decision.Backfill))
}

// choose takes the decision that goes next. Those that need no call are settled
// on the way, and do not use the token up.
func (p *Processor) choose(ctx context.Context) *job {
	for {
		p.mu.Lock()
		now := time.Now()
		p.queue.ripen(now)
		p.liftHold(now)
		lane, ok := p.next()
		if p.isPaused() || !ok {
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
		j.spans.chosen()
		j.hold.active++
		p.inFlight[lane]++
		p.opts.Metrics.InFlight.Inc()
		end := p.uncalled(j, now)
		var known *listing
		if end == nil && j.unresolved() {
			known = p.lookups.recall(j.dec.Task.ProfileID, time.Time{}, now)
		}
		if end == nil && known == nil {
			p.queue.charge(lane)
			p.mu.Unlock()
			return j
		}
		p.mu.Unlock()

		p.breaker.unused(permit)
		if known != nil {
			p.endUncalled(ctx, j, func(ctx context.Context) { p.found(ctx, j, known) })
		} else {
			p.endUncalled(ctx, j, end)
		}
	}
}

// uncalled is how to end a decision that needs no call: it expired, or is a
// duplicate, or was to be ended already when a panic came in between. Nil: it
// needs one. Under mu; what it returns is called without.
func (p *Processor) uncalled(j *job, now time.Time) (end func(context.Context)) {
	switch {
	case j.instead != nil:
		return j.instead
	case j.dec.Expired(now):
		return func(ctx context.Context) {
			p.deadLetter(ctx, j, deadLetter{reason: decision.Expired, text: "it expired at " + decision.Time{Time: j.dec.ExpiresAt}.String()})
		}
	case j.dec.OwnID && j.Attempts == 0 && p.knows(j):
		if j.unresolved() {
			j.dec.Task.TaskID = p.recent[partition{j.rec.Topic, j.rec.Partition}].taskOf(j.dec.ID)
		}
		return func(ctx context.Context) { p.result(ctx, j, result{outcome: decision.Duplicate}) }
	}
	return nil
}

// endUncalled does it. A panic is that decision's alone.
func (p *Processor) endUncalled(ctx context.Context, j *job, end func(context.Context)) {
	defer func() { p.rescue(j, recover()) }()
	end(ctx)
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
	if j.keyed() {
		r.name(j.dec.ID, j.dec.Task.TaskID)
	}
}
