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
//	                                            └─► retry, or blame
//
// Each stage ends the attempt with a verdict, or passes it on.
type attempt struct {
	p *Processor
	*job
	permit health.Permit
	first  bool     // nobody tried the decision before
	seen   evidence // before the attempt began
}

// run makes the attempt and acts on its verdict. A panic costs the decision this
// attempt and affects no other decision.
func (a *attempt) run(ctx context.Context) {
	defer func() { a.p.rescue(a.job, recover()) }()
	a.triedAt = time.Now()
	v := a.try()
	a.cause = v.cause
	a.p.do(func(m *machines, now time.Time) {
		a.p.outages.release(m, a.permit, v.signal(), a.first, v.err, now)
		if v.action == actSucceed {
			a.succeed(m, &v.success, now)
		}
	})
	switch v.action {
	case actMove:
		a.p.dispatcher.move(ctx, a.job, v.listing)
	case actSucceed:
		a.p.settler.result(ctx, a.job, v.success)
	case actRefuse:
		a.p.settler.deadLetter(ctx, a.job, v.refusal)
	case actBlame, actRetry:
		a.fail(ctx, v)
	case actWait:
		a.wait(v)
	case actAbandon:
		a.MaybeApplied = a.MaybeApplied || v.maybeApplied
		a.claim.Attempted(a.rec.Offset, a.Progress)
		a.drop()
	}
}

// succeed tells processor/health that the API did what the decision asks for.
func (a *attempt) succeed(m *machines, s *success, now time.Time) {
	if s.outcome != decision.Completed && s.outcome != decision.AlreadyComplete {
		return
	}
	if s.called {
		m.health.Completes(a.Task, a.triedAt)
	}
	a.endHold(m, now)
}

// try goes through the stages that call the API.
func (a *attempt) try() (v verdict) {
	defer func() {
		if r := recover(); r != nil { // the call may have been made
			v = verdict{action: actRetry, cause: decision.RetryPanic, err: a.p.logPanic(a.job, r), maybeApplied: true}
		}
	}()
	return a.stages(a.context())
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
// made, and done is true. The same goes for what people hold by then.
func (a *attempt) nextToken(ctx context.Context) (v verdict, done bool) {
	if err := a.p.tokens.wait(ctx); err != nil {
		return verdict{action: actAbandon, maybeApplied: a.MaybeApplied}, true
	}
	var wait bool
	a.p.do(func(m *machines, _ time.Time) {
		wait = m.pauses.holdCalls() || !m.health.Valid(a.permit) || m.stopped(a.Lane) || m.holds(a.job.run, a.Task)
	})
	switch {
	case ctx.Err() != nil:
		return verdict{action: actAbandon, maybeApplied: a.MaybeApplied}, true
	case wait:
		return verdict{action: actWait}, true // start again when it is over
	}
	return verdict{}, false
}

// requeue returns the decision to the queue, ready when it is due.
func (a *attempt) requeue(due time.Time) {
	a.p.do(func(m *machines, _ time.Time) { m.giveBack(a.job, due) })
}

// drop leaves the decision to its next owner.
func (a *attempt) drop() {
	a.p.do(func(m *machines, _ time.Time) { m.giveUp(a.job) })
}
