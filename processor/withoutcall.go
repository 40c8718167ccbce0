package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
)

// withoutCall returns how to go on with a decision that needs no call: it
// expired, it is a duplicate, its task is in a list that is remembered, or it was
// about to be settled when a panic intervened. Nil: it needs a call.
func (d dispatcher) withoutCall(m *machines, j *job, now time.Time) func(context.Context) {
	if settle := d.settledWithoutCall(m, j, now); settle != nil {
		return settle
	}
	if !j.Resolved() {
		if l := m.lists.Recall(j.Task.ProfileID, time.Time{}, now); l != nil {
			return func(ctx context.Context) { d.move(ctx, j, l) }
		}
	}
	return nil
}

// settledWithoutCall is the part of withoutCall that settles.
func (d dispatcher) settledWithoutCall(m *machines, j *job, now time.Time) func(context.Context) {
	switch {
	case j.settleWith != nil:
		return j.settleWith
	case j.dec.Expired(now):
		expired := note("it expired at " + decision.Time{Time: j.dec.ExpiresAt}.String())
		return func(ctx context.Context) {
			d.p.settler.deadLetter(ctx, j, refusal{reason: decision.Expired, err: expired})
		}
	case j.dec.OwnID && j.untried():
		return d.settledAsDuplicate(m, j)
	}
	return nil
}
