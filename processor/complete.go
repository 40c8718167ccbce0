package processor

import (
	"context"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// complete asks the API to complete the task.
func (a *attempt) complete(ctx context.Context) verdict {
	task, resp, err := call(ctx, a.p, passfort.OpComplete, func(ctx context.Context) (passfort.Task, passfort.Response, error) {
		return a.p.opts.API.CompleteTask(ctx, a.Task.ProfileID, a.Task.TaskID, a.dec.State)
	})
	if err != nil {
		v := classify(err)
		v.maybeApplied = v.maybeApplied || a.MaybeApplied // by an earlier call, where no preflight finds out
		return a.findAgain(ctx, v)
	}
	return verdict{action: actSucceed, success: success{outcome: decision.Completed, status: resp.Status, task: task.Raw, called: true}}
}
