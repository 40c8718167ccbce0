package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
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
		var again time.Duration
		var ok bool
		d.p.do(func(m *machines, now time.Time) { again, ok = m.mayCall(d.p.tokens.heldUntil(), now) })
		if !ok {
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

// rest waits until something changes, or for at most limit (0: no limit). Every
// condition is looked at again within a second all the same.
func (d dispatcher) rest(ctx context.Context, limit time.Duration) {
	if limit <= 0 {
		limit = time.Second
	}
	timer := time.NewTimer(min(limit, time.Second))
	defer timer.Stop()
	select {
	case <-d.p.dispatch:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// choose takes what goes next; nil: nothing may. Decisions that need no call are
// settled on the way, and do not use up the token.
func (d dispatcher) choose(ctx context.Context) assignment {
	for {
		var next assignment
		var again func()
		d.p.do(func(m *machines, now time.Time) { next, again = d.take(ctx, m, now) })
		if again == nil {
			return next
		}
		again()
	}
}

// take takes out what goes next. If that needs no call, it returns again, which goes on
// with it; then the token is still there for another.
func (d dispatcher) take(ctx context.Context, m *machines, now time.Time) (next assignment, again func()) {
	p := d.p
	m.ripen(p.tokens.heldUntil(), now)
	lane, ok := m.nextLane(now)
	if m.pauses.holdCalls() || !ok {
		return nil, nil
	}
	permit, ok := m.health.Acquire(lane, now)
	if !ok {
		return nil, nil
	}
	j := m.begin(lane, permit)
	if j == nil {
		return p.reviewer.begin(m, lane, permit, now), nil
	}
	if settle := d.withoutCall(m, j, now); settle != nil {
		m.health.Unused(permit)
		return nil, func() { p.settler.withoutCall(ctx, j, settle) }
	}
	if m.holdBack(j, now) {
		m.health.Unused(permit)
		return nil, func() {}
	}
	m.share.Charge(lane, m.ready(decision.Backfill, now))
	j.held, j.probe = false, false
	return &attempt{p: p, job: j, permit: permit, first: j.untried(), seen: m.evidenceFor(j, now)}, nil
}
