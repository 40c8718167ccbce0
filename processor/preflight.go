package processor

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// preflight looks at the task before completing it, where the setting asks for it.
// If the task does not need a completion, that settles the decision; otherwise the
// attempt goes on with another token.
func (a *attempt) preflight(ctx context.Context) (v verdict, done bool) {
	if !a.needsPreflight() {
		return verdict{}, false
	}
	if v, done := a.look(ctx); done {
		return v, true
	}
	a.MaybeApplied = false
	return a.nextToken(ctx)
}

// ledgerDelay is how long after a record what the ledger says of its run may arrive.
const ledgerDelay = 10 * time.Second

// needsPreflight reports whether the task is to be looked at first.
func (a *attempt) needsPreflight() bool {
	if a.repeat {
		return true
	}
	// An old dead letter must not undo what was decided since. Whoever forges the header
	// gains a look.
	if _, redriven := decision.RedrivenFrom(&a.rec); redriven {
		return true
	}
	switch a.p.opts.Preflight {
	case decision.PreflightAlways:
		return true
	case decision.PreflightBackfill:
		return a.MaybeApplied || a.Lane == decision.Backfill
	case decision.PreflightRetry:
		return a.MaybeApplied
	case decision.PreflightNever:
	}
	return false
}

// look asks for the task and compares its state with the wanted one. done is
// false where the task can be completed.
func (a *attempt) look(ctx context.Context) (v verdict, done bool) {
	task, resp, err := call(ctx, a.p, passfort.OpGetTask, func(ctx context.Context) (passfort.Task, passfort.Response, error) {
		return a.p.opts.API.GetTask(ctx, a.Task.ProfileID, a.Task.TaskID)
	})
	if err != nil {
		return a.findAgain(ctx, classifyRead(err, a.MaybeApplied)), true
	}
	stands := stand(&task, a.dec.State)
	if a.keyed() && task.IsExpired && (!a.MaybeApplied || stands == standsOpen) {
		a.MaybeApplied = false
		v = verdict{action: actRefuse, refusal: refusal{reason: decision.TaskNotFound, status: resp.Status, err: note(fmt.Sprintf("the task %s is expired", a.Task.TaskID))}}
		return a.findAgain(ctx, v), true
	}
	switch stands {
	case standsWanted:
		return verdict{action: actSucceed, success: success{outcome: decision.AlreadyComplete, status: resp.Status, task: task.Raw}}, true
	case standsAgainst:
		return a.conflict(&task, resp.Status)
	case standsOpen:
		if a.repeat { // somebody opened the task again, and it is not for a repeat to undo that
			return verdict{action: actSucceed, success: success{outcome: decision.Duplicate, status: resp.Status, task: task.Raw}}, true
		}
	}
	return verdict{}, false
}

// conflict handles a task that a look finds completed in another state.
func (a *attempt) conflict(task *passfort.Task, status int) (v verdict, done bool) {
	on := a.p.opts.OnConflict
	switch may, known := a.p.mayOverwrite(a.job.run); {
	case may:
		on = decision.ConflictOverwrite
	case !known && time.Since(a.received) < ledgerDelay:
		return verdict{action: actWait, atLeast: time.Second}, true
	}
	switch on {
	case decision.ConflictSkip:
		return verdict{action: actSucceed, success: success{outcome: decision.Skipped, status: status, task: task.Raw}}, true
	case decision.ConflictDeadLetter:
		return verdict{action: actRefuse, refusal: refusal{
			reason: decision.Conflict, status: status,
			err: note(fmt.Sprintf("the task is already %s, and processor.on_conflict is %s", task.State, on)),
		}}, true
	case decision.ConflictOverwrite:
	}
	return verdict{}, false
}
