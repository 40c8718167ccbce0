package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
)

// attempt is one attempt at a decision by a worker, which has a token for its
// first call:
//
//	resolve ─► preflight ─► complete ─► classify ─► settle
//	                                            └─► retry
//
// Each stage ends the attempt with a verdict, or passes it on.
type attempt struct {
	p *Processor
	*job
	permit health.Permit
}

// run makes the attempt and acts on its verdict. A panic costs the decision this
// attempt and affects no other decision.
func (a *attempt) run(ctx context.Context) {
	defer func() { a.p.rescue(a.job, recover()) }()
	a.triedAt = time.Now()
	v := a.try()
	a.cause = v.cause
	change := a.p.outages.release(a.Lane, a.permit, v.signal(), v.err)
	if change == health.Confirmed {
		refund(a.job, a.permit)
	}
	switch v.action {
	case actMove:
		a.p.dispatcher.move(ctx, a.job, v.listing)
	case actSucceed:
		a.p.settler.result(ctx, a.job, v.success)
	case actRefuse:
		a.p.settler.deadLetter(ctx, a.job, v.refusal)
	case actRetry:
		a.retry(ctx, v, change)
	case actWait:
		a.wait(v)
	case actCheckKey: // try has asked
	case actAbandon:
		a.MaybeApplied = a.MaybeApplied || v.maybeApplied
		a.claim.Attempted(a.rec.Offset, a.Progress)
		a.drop()
	}
}

// try goes through the stages that call the API, and asks about the key where one of
// them was refused.
func (a *attempt) try() (v verdict) {
	defer func() {
		if r := recover(); r != nil { // the call may have been made
			v = verdict{action: actRetry, cause: decision.RetryPanic, err: a.p.logPanic(a.job, r), maybeApplied: true}
		}
	}()
	if v = a.stages(a.context()); v.action == actCheckKey {
		v = a.checkKey(v)
	}
	return v
}

func (a *attempt) stages(ctx context.Context) verdict {
	for _, stage := range [...]func(context.Context) (verdict, bool){a.resolve, a.preflight} {
		if v, done := stage(ctx); done {
			return v
		}
	}
	return a.complete(ctx)
}

// nextToken takes the token for another call of the attempt. While it waits, the
// partition can be lost, or a pause or an outage can begin: then the call is not
// made, and done is true.
func (a *attempt) nextToken(ctx context.Context) (v verdict, done bool) {
	if err := a.p.tokens.wait(ctx); err != nil {
		return verdict{action: actAbandon, maybeApplied: a.MaybeApplied}, true
	}
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return verdict{action: actAbandon, maybeApplied: a.MaybeApplied}, true
	case a.p.pauses.holdCalls() || !a.p.breakers[a.Lane].Valid(a.permit):
		return verdict{action: actWait}, true // start again when it is over
	}
	return verdict{}, false
}

// requeue returns the decision to the queue, ready when it is due. One that is
// being drained is left to its next owner.
func (a *attempt) requeue(due time.Time) {
	p := a.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load.endWork(a.job)
	if a.hold.revoked {
		p.queue.Done(&a.Item)
		p.leave(a.job)
	} else {
		p.queue.Delay(&a.Item, due)
		a.spans.waits()
		a.hold.done()
	}
	p.nudge()
}

// drop leaves the decision to its next owner.
func (a *attempt) drop() {
	p := a.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load.endWork(a.job)
	p.queue.Done(&a.Item)
	p.leave(a.job)
	p.nudge()
}
