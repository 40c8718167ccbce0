package processor

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/decision"
	"verdict/processor/resolve"
)

// resolve makes sure that a decision that names its task by alias or type acts on
// the task that the name means now. A task that has been known for longer than
// resolve.Life (behind others of its task, or between two attempts) is looked up
// again, while the decision keeps its place. The attempt goes on with a token.
func (a *attempt) resolve(ctx context.Context) (v verdict, done bool) {
	now := time.Now()
	if !a.keyed() || a.Resolved() && now.Sub(a.listedAt) < resolve.Life {
		return verdict{}, false
	}
	l, called, err := a.p.lists.list(ctx, a.Task.ProfileID, now.Add(-resolve.Life))
	if err != nil {
		return classifyRead(err, a.MaybeApplied), true
	}
	if id, err := l.Find(a.dec.Key); !a.Resolved() || err != nil || id != a.Task.TaskID {
		return verdict{action: actMove, listing: l}, true
	}
	a.listedAt = l.At
	if !called {
		return verdict{}, false
	}
	return a.nextToken(ctx)
}

// explainNotFound asks whether the ID is a variant's instead of a task's. That is
// only an explanation, so it is left out ("") if the list can't be had at once.
func (a *attempt) explainNotFound(ctx context.Context) string {
	l := a.p.lists.recall(a.Task.ProfileID, time.Time{})
	if l == nil {
		if _, done := a.nextToken(ctx); done {
			return ""
		}
		l, _, _ = a.p.lists.list(ctx, a.Task.ProfileID, time.Now().Add(-resolve.Life))
	}
	if l == nil {
		return ""
	}
	return l.ExplainVariant(a.Task.TaskID)
}

// findAgain handles a task that was named by alias or type and is gone: it lists the
// tasks once more, since the task may have been replaced. v is the verdict if nothing
// more is found out.
func (a *attempt) findAgain(ctx context.Context, v verdict) verdict {
	if v.refusal.reason != decision.TaskNotFound || !a.keyed() {
		return v
	}
	if !a.relisted {
		after := time.Now().Add(1) // what was known until now led here
		if v, done := a.nextToken(ctx); done {
			return v
		}
		l, _, err := a.p.lists.list(ctx, a.Task.ProfileID, after)
		if err != nil {
			return classifyRead(err, a.MaybeApplied)
		}
		a.relisted = true // MaybeApplied stays: the 404 says nothing about an earlier call
		id, err := l.Find(a.dec.Key)
		if a.yetListed = err == nil && id == a.Task.TaskID; !a.yetListed {
			a.Attempts++
			return verdict{action: actMove, listing: l}
		}
	}
	if a.yetListed {
		v.refusal.err = note(fmt.Sprintf("the profile's list has %s as its live task of %s, and yet: %s", a.Task.TaskID, a.dec.Key, v.refusal.err))
	}
	return v
}
