package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
)

// withoutCall returns how to go on with a decision that needs no call: it
// expired, it is a duplicate, its task is in a list that is remembered, or it was
// about to be settled when a panic intervened. Nil: it needs a call. Under mu;
// the function it returns is called without mu.
func (d dispatcher) withoutCall(j *job, now time.Time) func(context.Context) {
	if settle := d.settledWithoutCall(j, now); settle != nil {
		return settle
	}
	if !j.Resolved() {
		if l := d.p.lists.memory.Recall(j.Task.ProfileID, time.Time{}, now); l != nil {
			return func(ctx context.Context) { d.move(ctx, j, l) }
		}
	}
	return nil
}

// settledWithoutCall is the part of withoutCall that settles. Under mu.
func (d dispatcher) settledWithoutCall(j *job, now time.Time) func(context.Context) {
	switch {
	case j.settleWith != nil:
		return j.settleWith
	case j.dec.Expired(now):
		expired := note("it expired at " + decision.Time{Time: j.dec.ExpiresAt}.String())
		return func(ctx context.Context) {
			d.p.settler.deadLetter(ctx, j, refusal{reason: decision.Expired, err: expired})
		}
	case j.dec.OwnID && j.untried() && d.p.recent.has(j):
		taskID := j.Task.TaskID
		if !j.Resolved() {
			taskID = d.p.recent.taskOf(j)
		}
		return func(ctx context.Context) {
			d.p.settler.result(ctx, j, success{outcome: decision.Duplicate, taskID: taskID})
		}
	}
	return nil
}
