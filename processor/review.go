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
func (r reviewer) keep(j *job, wire *decision.Result, called bool) bool {
	p := r.p
	if called {
		j.claim.Attempted(j.rec.Offset, decision.Progress{Attempts: j.Attempts, MaybeApplied: true})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if j.hold.ctx.Err() != nil { // a drain has no time left to wait
		return false
	}
	p.load.endWork(j)
	keepsTask := j.Queued() && !j.reviewed
	if keepsTask {
		j.reviewed = true
	}
	p.reviews.Hold(j.Task.ProfileID, heldResult{j, wire}, keepsTask, time.Now())
	p.nudgeReviewer()
	p.nudge()
	return true
}

// watch makes reviews ready, each at its time, until ctx ends.
func (r reviewer) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.p.reviewWake:
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
	p := r.p
	p.mu.Lock()
	all, backfill := p.dispatcher.full()
	late, next := p.reviews.Due(time.Now(), profile.Surroundings{
		Tasks:   p.queue.TasksOf,
		Full:    all || backfill,
		Blocked: p.pauses.holdCalls() || p.pauses.on[decision.PausedThrottled] || !p.breaker.Closed(),
	})
	r.countSettling(late)
	p.mu.Unlock()
	r.publish(late, nil)
	p.nudge()
	return next
}

// begin takes the next review of a lane out for a worker. Under mu.
func (r reviewer) begin(lane decision.Lane, permit health.Permit) assignment {
	p := r.p
	p.share.Charge(lane, p.dispatcher.ready(decision.Backfill))
	p.load.occupy(lane)
	c := &reviewCall{reviewer: r, review: p.reviews.Begin(lane), permit: permit}
	c.ctx, c.cancel = context.WithCancel(p.life)
	p.reviewCalls[c.review] = c.cancel
	return c
}

// countSettling counts results that are about to be published among those that
// wait for Kafka. It does so at once, since otherwise others would take their
// room. Under mu.
func (r reviewer) countSettling(results []heldResult) {
	for _, h := range results {
		r.p.load.startSettling(h.job)
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
	p := r.p
	p.mu.Lock()
	results, working := p.reviews.Flush(time.Now())
	r.countSettling(results)
	for _, v := range working {
		p.reviewCalls[v]()
	}
	p.mu.Unlock()
	if len(results) > 0 {
		p.running.Go(func() { r.publish(results, nil) }) // it may wait for Kafka, and a drain must end
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
	p.mu.Lock()
	p.reviews.Collect(c.review)
	p.mu.Unlock()
	var v verdict
	l, err := p.lists.now(c.ctx, c.review.ProfileID)
	if err != nil {
		v = classifyRead(err, false)
	} else {
		v = verdict{action: actMove, listing: l}
	}
	signal := v.signal()
	if signal == health.Fails {
		signal = health.Neutral
	}
	p.outages.release(c.permit, signal, v.err)
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
		return p.retry.Backoff(c.review.Attempts), c.review.Attempts < p.opts.MaxAttempts
	case actWait:
		p.countRetry(v.cause)
		return 0, true
	case actCheckKey:
		good, err := p.keys.isGood(c.ctx)
		return p.retry.Backoff(unknownKeyRetry), err != nil || !good
	case actSucceed, actRefuse, actAbandon, actMove:
	}
	return 0, false
}

// tryAgain makes the review ready again later, unless its results can't wait.
func (c *reviewCall) tryAgain(v verdict, wait time.Duration) bool {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.ctx.Err() != nil || v.action != actWait && !p.reviews.MayRetry(c.review) {
		return false
	}
	c.leaveWorker()
	p.reviews.Again(c.review, time.Now().Add(wait))
	p.nudgeReviewer()
	p.nudge()
	return true
}

// end ends the review and publishes what waited for it.
func (c *reviewCall) end(outcome *decision.Profile) {
	p := c.p
	p.mu.Lock()
	var results []heldResult
	if p.reviews.Active(c.review) {
		results = p.reviews.End(c.review, time.Now())
	}
	c.countSettling(results)
	c.leaveWorker()
	p.nudgeReviewer()
	p.mu.Unlock()
	c.publish(results, outcome)
	p.nudge()
}

// drop ends a call that was not made, at the end of the process.
func (c *reviewCall) drop() {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.cancel()
	c.leaveWorker()
}

// leaveWorker frees the worker, once. Under mu.
func (c *reviewCall) leaveWorker() {
	if _, has := c.p.reviewCalls[c.review]; has {
		delete(c.p.reviewCalls, c.review)
		c.p.load.free(c.review.Lane)
	}
}

// logFault logs why results are published without their profile's outcome, when
// the reason changes.
func (c *reviewCall) logFault(v verdict) {
	p := c.p
	fault := ""
	if v.action != actMove && v.action != actWait && v.err != nil {
		fault = v.err.Error()
	}
	p.mu.Lock()
	changed := fault != p.reviewFault
	if v.action != actWait {
		p.reviewFault = fault
	}
	p.mu.Unlock()
	if changed && fault != "" {
		p.log.Warn("a profile's tasks could not be listed; if retries fail too, its results are published without the profile's outcome", "err", v.err)
	}
}
