package processor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/metrics"
)

// work makes one attempt at a decision, and sees to what comes of it. A panic
// costs the decision this attempt, and nobody else anything.
func (p *Processor) work(ctx context.Context, j *job) {
	defer func() { p.rescue(j, recover()) }()
	v := p.attempt(j)
	failed, neutral := v.about()
	if j.profile != nil && failed {
		failed, neutral = false, true // what is only added to results must not pause them
	}
	change := p.breaker.release(j.permit, failed, neutral)
	p.outage(change, j, v.err)
	if j.profile != nil {
		p.looked(j, v)
		return
	}

	switch v.action {
	case found:
		p.found(ctx, j, v.listing)
	case complete:
		p.result(ctx, j, v.result)
	case refuse:
		p.deadLetter(ctx, j, v.deadLetter)
	case tryAgain:
		p.retry(ctx, j, v, change)
	case later:
		if v.cause != "" {
			p.opts.Metrics.Retries.WithLabelValues(string(v.cause)).Inc()
		}
		p.putBack(j, time.Now())
	case suspect:
		p.suspect(ctx, j, v)
	case abandon:
		j.MaybeApplied = j.MaybeApplied || v.unclear
		j.claim.Attempted(j.rec.Offset, j.Progress)
		p.giveUp(j)
	}
}

// attempt looks at the task if that is called for, completes it, and says what
// is to be done. It has a token for its first call.
func (p *Processor) attempt(j *job) (v verdict) {
	defer func() {
		if r := recover(); r != nil {
			// The call may have been made.
			v = verdict{action: tryAgain, cause: decision.RetryPanic, err: p.tellPanic(j, r), unclear: true}
		}
	}()
	ctx := j.context()
	if j.profile != nil {
		return p.lookAtProfile(ctx, j)
	}
	if j.keyed() {
		if v, ok := p.recheck(ctx, j); !ok {
			return v
		}
	}
	want := decision.State(j.dec.State)
	if p.looksFirst(j) {
		settled, v := p.look(ctx, j, want)
		if settled {
			return v
		}
		if v, ok := p.secondToken(ctx, j); !ok {
			return v
		}
	}
	task, resp, err := call(ctx, p, passfort.OpComplete, func(ctx context.Context) (passfort.Task, passfort.Response, error) {
		return p.opts.API.CompleteTask(ctx, j.dec.Task.ProfileID, j.dec.Task.TaskID, want)
	})
	if err != nil {
		v = classify(err)
		v.unclear = v.unclear || j.MaybeApplied // an earlier call's, where nobody looks
		if v.deadLetter.reason == decision.TaskNotFound {
			v = p.notFound(ctx, j, v)
		}
		return v
	}
	return verdict{action: complete, result: result{outcome: decision.Completed, status: resp.Status, task: task.Raw, called: true}}
}

// looksFirst says whether the task is looked at before it is completed.
func (p *Processor) looksFirst(j *job) bool {
	switch p.opts.Preflight {
	case decision.PreflightAlways:
		return true
	case decision.PreflightBackfill:
		return j.MaybeApplied || j.lane == decision.Backfill
	case decision.PreflightRetry:
		return j.MaybeApplied
	default:
		return false
	}
}

// look asks for the task's state. settled: v says what is to be done without a
// completion.
func (p *Processor) look(ctx context.Context, j *job, want decision.State) (settled bool, v verdict) {
	task, resp, err := call(ctx, p, passfort.OpGetTask, func(ctx context.Context) (passfort.Task, passfort.Response, error) {
		return p.opts.API.GetTask(ctx, j.dec.Task.ProfileID, j.dec.Task.TaskID)
	})
	if err != nil {
		if v = classifyLook(err, j.MaybeApplied); v.deadLetter.reason == decision.TaskNotFound {
			v = p.notFound(ctx, j, v)
		}
		return true, v
	}
	standing := stand(&task, want)
	if j.keyed() && task.IsExpired && (!j.MaybeApplied || standing == standsOpen) {
		j.MaybeApplied = false
		v = verdict{action: refuse, deadLetter: deadLetter{reason: decision.TaskNotFound, status: resp.Status, text: fmt.Sprintf("the task %s is expired", j.dec.Task.TaskID)}}
		return true, p.notFound(ctx, j, v)
	}
	switch standing {
	case standsWanted:
		return true, verdict{action: complete, result: result{outcome: decision.AlreadyComplete, status: resp.Status, task: task.Raw}}
	case standsAgainst:
		switch p.opts.OnConflict {
		case decision.ConflictSkip:
			return true, verdict{action: complete, result: result{outcome: decision.Skipped, status: resp.Status, task: task.Raw}}
		case decision.ConflictDeadLetter:
			return true, verdict{action: refuse, deadLetter: deadLetter{
				reason: decision.Conflict, status: resp.Status,
				text: fmt.Sprintf("the task is %s already, and processor.on_conflict is %s", task.State, p.opts.OnConflict),
			}}
		}
	}
	j.MaybeApplied = false
	return false, verdict{}
}

// secondToken takes the token for a second call of an attempt. While it waits
// the partition can be lost, or a pause or an outage begin: then the call is not
// made.
func (p *Processor) secondToken(ctx context.Context, j *job) (verdict, bool) {
	if err := p.limiter.wait(ctx); err != nil {
		return verdict{action: abandon, unclear: j.MaybeApplied}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return verdict{action: abandon, unclear: j.MaybeApplied}, false
	case p.isPaused() || !p.breaker.stands(j.permit):
		return verdict{action: later}, false // begin again when it is over
	}
	return verdict{}, true
}

// call makes one call to the API, measures it and lets the trace of ctx show it.
func call[T any](ctx context.Context, p *Processor, op passfort.Operation, do func(context.Context) (T, passfort.Response, error)) (value T, resp passfort.Response, err error) {
	ctx, span := p.beginCall(ctx, op)
	err = errUnfinished // if do panics
	defer func() { endCall(span, resp.Status, code(resp, err), err) }()
	began := time.Now()
	value, resp, err = do(ctx)
	metrics.Observe(p.opts.Metrics.APIRequestDuration.WithLabelValues(string(op)), time.Since(began).Seconds(), passfort.TraceparentOf(ctx))
	p.opts.Metrics.APIRequests.WithLabelValues(string(op), code(resp, err)).Inc()
	p.limiter.heed(resp.Rate)
	if e, ok := errors.AsType[*passfort.Error](err); ok && e.Kind == passfort.KindThrottled {
		p.throttled(resp.Rate)
	} else if resp.Status != 0 {
		p.served()
	}
	return value, resp, err
}

// errUnfinished is what is told of a call that panicked.
var errUnfinished = errors.New("the call was not finished")

// code is the label of how a call ended. A status outside of HTTP's own range
// is no answer: whatever an API sends, there are five hundred codes at the most.
func code(resp passfort.Response, err error) string {
	if resp.Status >= 100 && resp.Status <= 599 {
		return strconv.Itoa(resp.Status)
	}
	if e, ok := errors.AsType[*passfort.Error](err); ok && e.Kind == passfort.KindTimeout {
		return "timeout"
	}
	return "error"
}

// retry lets a decision wait and try again, or dead-letters it after its last
// attempt. A failure in an outage is nobody's attempt.
func (p *Processor) retry(ctx context.Context, j *job, v verdict, change change) {
	j.MaybeApplied = v.unclear
	p.opts.Metrics.Retries.WithLabelValues(string(v.cause)).Inc()
	if failed, _ := v.about(); !failed || change == opened || change == unchanged && p.breaker.closed() {
		j.Attempts++
		if j.spell != j.permit.spell {
			j.spell, j.spent = j.permit.spell, 0
		}
		j.spent++
	}
	if j.Attempts >= p.opts.MaxAttempts {
		reason := decision.RetriesExhausted
		if v.cause == decision.RetryUnconfirmed {
			reason = decision.Unconfirmed
		}
		p.deadLetter(ctx, j, deadLetter{reason: reason, status: v.status, err: v.err})
		return
	}
	p.log.Debug("a decision will be tried again", "decision_id", j.dec.ID, "origin", j.rec.Origin().String(), "attempts", j.Attempts, "err", v.err)
	j.claim.Attempted(j.rec.Offset, j.Progress)
	p.putBack(j, time.Now().Add(p.policy.Backoff(max(j.Attempts, 1))))
}

// putBack returns a decision that a worker had to the queue, to be ready when it
// is due. One that is being drained is given up.
func (p *Processor) putBack(j *job, due time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handBack(j)
	if j.hold.revoked {
		p.queue.done(j)
		p.leave(j)
	} else {
		p.queue.delay(j, due)
		j.spans.waits()
		p.deactivate(j.hold)
	}
	p.nudge()
}

// giveUp forgets a decision that a worker had; its next owner will read it.
func (p *Processor) giveUp(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handBack(j)
	if j.profile != nil {
		return // a look: the end of the process, without a drain
	}
	p.queue.done(j)
	p.leave(j)
	p.nudge()
}

// handBack frees the worker. Under mu.
func (p *Processor) handBack(j *job) {
	j.working = false
	p.inFlight[j.lane]--
	p.opts.Metrics.InFlight.Dec()
}
