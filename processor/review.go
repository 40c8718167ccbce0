package processor

import (
	"context"
	"runtime/debug"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/profile"
)

// reviewer reviews profiles for results that carry their outcome. A review is no
// decision: it has a token, a worker and the retries of a call, and goes before
// the decisions of its lane, since the decisions that wait for it would be carried
// out again after a crash. Its failures do not count for the health of the API,
// because it only adds to results.
type reviewer struct{ p *Processor }

// heldResult is a result that waits for its profile's review.
type heldResult struct {
	*job
	wire *decision.Result
}

func (h heldResult) Lane() decision.Lane { return h.job.Lane }
func (h heldResult) Bytes() int          { return len(h.wire.Task) }
func (h heldResult) Draining() bool      { return h.hold.revoked }

// keep holds a result for its profile's review, and reports whether it does.
// called means that the decision's own call completed the task. That is noted with
// the claim first, so that after a crash the next owner looks at the task first
// and finds it completed.
func (r reviewer) keep(j *job, wire *decision.Result, called bool) (kept bool) {
	if called {
		j.claim.Attempted(j.rec.Offset, decision.Progress{Attempts: j.Attempts, MaybeApplied: true})
	}
	r.p.do(func(m *machines, now time.Time) {
		if j.hold.ctx.Err() != nil { // a drain has no time left to wait
			return
		}
		m.load.endWork(j)
		keepsTask := j.Queued() && !j.reviewed
		j.reviewed = j.reviewed || keepsTask
		m.reviews.Hold(j.Task.ProfileID, heldResult{j, wire}, keepsTask, now)
		m.wants.review, m.wants.dispatch = true, true
		kept = true
	})
	return kept
}

// watch makes reviews ready, each at its time, until ctx ends.
func (r reviewer) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.p.review:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(time.Until(r.makeReady()))
	}
}

// makeReady makes the reviews ready that are due, and publishes the results that
// waited too long. It returns when to do so again.
func (r reviewer) makeReady() (next time.Time) {
	var late []heldResult
	r.p.do(func(m *machines, now time.Time) {
		all, backfill := m.full()
		late, next = m.reviews.Due(now, profile.Surroundings{
			Tasks:   m.queue.TasksOf,
			Full:    all || backfill,
			Blocked: m.pauses.holdCalls() || m.pauses.on[decision.PausedThrottled] || m.health.AnyPaused(),
		})
		m.countSettling(late)
		m.wants.dispatch = true
	})
	r.publish(late, nil)
	return next
}

// begin takes the next review of a lane out for a worker.
func (r reviewer) begin(m *machines, lane decision.Lane, permit health.Permit, now time.Time) assignment {
	m.share.Charge(lane, m.ready(decision.Backfill, now))
	m.load.occupy(lane)
	c := &reviewCall{reviewer: r, review: m.reviews.Begin(lane), permit: permit}
	c.ctx, c.cancel = context.WithCancel(r.p.life)
	m.reviewCalls[c.review] = c.cancel
	return c
}

// countSettling counts results that are about to be published among those that
// wait for Kafka. It does so at once, since otherwise others would take their
// room.
func (m *machines) countSettling(results []heldResult) {
	for _, h := range results {
		m.load.startSettling(h.job)
	}
}

// publish publishes results, with the outcome of their profile where it is known.
func (r reviewer) publish(results []heldResult, outcome *decision.Profile) {
	for _, h := range results {
		h.wire.Profile = outcome
		h.settleWith = func(ctx context.Context) { r.p.settler.publishResult(ctx, h.job, h.wire) } // no second call, after a panic
		r.p.settler.withoutCall(r.p.life, h.job, h.settleWith)
	}
}

// flush publishes the results of a drain that ran out of time. Where a review's
// call is in flight, its worker does so once the call is aborted.
func (r reviewer) flush() {
	var results []heldResult
	r.p.do(func(m *machines, now time.Time) {
		var working []*profile.Review[heldResult]
		results, working = m.reviews.Flush(now)
		m.countSettling(results)
		for _, v := range working {
			m.reviewCalls[v]()
		}
	})
	if len(results) > 0 {
		r.p.running.Go(func() { r.publish(results, nil) }) // it may wait for Kafka, and a drain must end
	}
}

// reviewCall is one call for a review, by a worker.
type reviewCall struct {
	reviewer
	review *profile.Review[heldResult]
	permit health.Permit
	ctx    context.Context // ends when the call is to be aborted
	cancel context.CancelFunc
}

// run makes the call. A panic costs the results their outcome.
func (c *reviewCall) run(context.Context) {
	defer c.cancel()
	defer func() {
		if r := recover(); r != nil {
			c.p.log.Error("a profile's review made Verdict panic", "profile", c.review.ProfileID, "err", panicError(r), "stack", string(debug.Stack()))
			c.end(nil)
		}
	}()
	p := c.p
	p.do(func(m *machines, _ time.Time) { m.reviews.Collect(c.review) })
	var v verdict
	l, err := p.lists.now(c.ctx, c.review.ProfileID)
	if err != nil {
		v = classifyRead(err, false)
	} else {
		v = verdict{action: actMove, listing: l}
	}
	signal := v.signal()
	if signal != health.Works {
		signal = health.Neutral
	}
	p.do(func(m *machines, now time.Time) { p.outages.release(m, c.permit, signal, false, v.err, now) })
	c.logFault(v)
	if wait, again := c.retryIn(v); again && c.tryAgain(v, wait) {
		return
	}
	if v.listing == nil {
		c.end(nil)
		return
	}
	p.lists.remember(c.review.ProfileID, l)
	c.end(profile.Outcome(l.Tasks()))
}

// retryIn returns in how long to call again, if the verdict asks for it.
func (c *reviewCall) retryIn(v verdict) (wait time.Duration, again bool) {
	p := c.p
	switch v.action {
	case actRetry:
		p.countRetry(v.cause)
		c.review.Attempts++
		return max(p.retry.Backoff(c.review.Attempts), v.atLeast), c.review.Attempts < p.opts.MaxAttempts
	case actWait:
		p.countRetry(v.cause)
		return 0, true
	case actBlame:
		// A key that is refused pauses all calls meanwhile.
		c.review.Attempts++
		return v.atLeast, v.refusal.reason == decision.Forbidden && c.review.Attempts < 2
	case actSucceed, actRefuse, actAbandon, actMove:
	}
	return 0, false
}

// tryAgain makes the review ready again later, unless its results can't wait.
func (c *reviewCall) tryAgain(v verdict, wait time.Duration) (again bool) {
	c.p.do(func(m *machines, now time.Time) {
		if c.ctx.Err() != nil || v.action != actWait && !m.reviews.MayRetry(c.review) {
			return
		}
		c.leaveWorker(m)
		m.reviews.Again(c.review, now.Add(wait))
		m.wants.review, m.wants.dispatch = true, true
		again = true
	})
	return again
}

// end ends the review and publishes what waited for it.
func (c *reviewCall) end(outcome *decision.Profile) {
	var results []heldResult
	c.p.do(func(m *machines, now time.Time) {
		if m.reviews.Active(c.review) {
			results = m.reviews.End(c.review, now)
		}
		m.countSettling(results)
		c.leaveWorker(m)
		m.wants.review, m.wants.dispatch = true, true
	})
	c.publish(results, outcome)
}

// drop ends a call that was not made, at the end of the process.
func (c *reviewCall) drop() {
	c.cancel()
	c.p.do(func(m *machines, _ time.Time) { c.leaveWorker(m) })
}

// leaveWorker frees the worker, once.
func (c *reviewCall) leaveWorker(m *machines) {
	if _, has := m.reviewCalls[c.review]; has {
		delete(m.reviewCalls, c.review)
		m.load.free(c.review.Lane)
	}
}

// logFault logs why results are published without their profile's outcome, when
// the reason changes.
func (c *reviewCall) logFault(v verdict) {
	fault := ""
	if v.action != actMove && v.action != actWait && v.err != nil {
		fault = plain(v.err)
	}
	changed := false
	c.p.do(func(m *machines, _ time.Time) {
		changed = fault != m.reviewFault
		if v.action != actWait {
			m.reviewFault = fault
		}
	})
	if changed && fault != "" {
		c.p.log.Warn("a profile's tasks could not be listed; if retries fail too, its results are published without the profile's outcome", "err", v.err)
	}
}
