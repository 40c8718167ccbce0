package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"
	"verdict/processor/queue"
	"verdict/processor/resolve"
)

// resolve makes sure that a decision that names its task by alias or type acts on
// what is that task now. A task that has been known for longer than resolve.Life
// (behind others of its task, or between two attempts) is looked up again, while
// the decision keeps its place. The attempt goes on with a token.
func (a *attempt) resolve(ctx context.Context) (v verdict, done bool) {
	now := time.Now()
	if !a.keyed() || a.Resolved() && now.Sub(a.listedAt) < resolve.Life {
		return verdict{}, false
	}
	l, called, err := a.p.list(ctx, a.Task.ProfileID, now.Add(-resolve.Life))
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

// notFound follows a 404 for the task, or a preflight that finds it expired. v is
// what becomes of the decision if nothing more is found out.
func (a *attempt) notFound(ctx context.Context, v verdict) verdict {
	if a.keyed() {
		return a.findAgain(ctx, v)
	}
	return a.explainNotFound(ctx, v)
}

// explainNotFound asks whether the ID is a variant's instead of a task's. That is
// only an explanation, so it is left out where the list can't be had at once.
func (a *attempt) explainNotFound(ctx context.Context, v verdict) verdict {
	l := a.p.recallList(a.Task.ProfileID, time.Time{})
	if l == nil {
		if _, done := a.nextToken(ctx); done {
			if ctx.Err() != nil {
				return verdict{action: actAbandon}
			}
			return v
		}
		l, _, _ = a.p.list(ctx, a.Task.ProfileID, time.Now().Add(-resolve.Life))
	}
	if l != nil {
		if text := l.ExplainVariant(a.Task.TaskID); text != "" {
			v.refusal.err = note(text)
		}
	}
	return v
}

// findAgain looks the task up once more, since it may have been replaced.
func (a *attempt) findAgain(ctx context.Context, v verdict) verdict {
	if a.relisted {
		return v
	}
	after := time.Now().Add(1) // what was known until now led here
	if v, done := a.nextToken(ctx); done {
		return v
	}
	l, _, err := a.p.list(ctx, a.Task.ProfileID, after)
	if err != nil {
		return classifyRead(err, a.MaybeApplied)
	}
	a.relisted = true // MaybeApplied stays: the 404 says nothing about an earlier call
	if v.refusal.called {
		a.Attempts++
		v.refusal.called = false
	}
	if id, err := l.Find(a.dec.Key); err == nil && id == a.Task.TaskID {
		v.refusal.err = note(fmt.Sprintf("the profile's list has %s as its live task of %s, and yet: %s", id, a.dec.Key, v.refusal.err))
		return v
	}
	return verdict{action: actMove, listing: l}
}

// move goes on with a begun decision whose profile's list is there, and with those
// that wait behind the same gate: each goes to the task that its key names, or is
// dead-lettered.
func (p *Processor) move(ctx context.Context, j *job, l *resolve.Listing) {
	id, refused := p.moveTarget(j, l)
	p.mu.Lock()
	var ends []*job     // that have no task; each is settled below, by its settleWith
	if refused != nil { // until then it keeps its place
		j.settleWith = func(ctx context.Context) { settler{p}.deadLetter(ctx, j, *refused) }
		ends = append(ends, j)
	}
	ends = append(ends, p.resolveBehind(j, l)...)
	if refused == nil {
		p.handBack(j)
		if j.hold.revoked {
			p.queue.Done(&j.Item)
			p.leave(j)
		} else {
			j.listedAt = l.At
			p.queue.Move(&j.Item, id)
			j.spans.waits()
			j.hold.done()
		}
	}
	p.nudgeReviewer()
	p.mu.Unlock()
	p.nudge()
	for _, j := range ends {
		p.settleWithoutCall(ctx, j, j.settleWith)
	}
}

// moveTarget returns the ID of the task that the decision is to act on, or why
// there is none. A decision that may have been applied to the task it was made for
// is not carried out on that task's successor.
func (p *Processor) moveTarget(j *job, l *resolve.Listing) (id string, refused *refusal) {
	id, err := l.Find(j.dec.Key)
	if was := j.Task.TaskID; was != "" && j.MaybeApplied {
		text := fmt.Sprintf("%s, which may have been completed by it, is not the profile's live task of %s any more", was, j.dec.Key)
		if err == nil {
			text += fmt.Sprintf("; %s is, and was left alone", id)
		}
		return "", &refusal{reason: decision.TaskNotFound, status: l.Status, err: note(text)}
	}
	if err != nil {
		r := refusalOf(err)
		return "", &r
	}
	return id, nil
}

// resolveBehind names the tasks of the decisions behind the same gate. It returns
// those that have none, taken out of the queue, with how to settle them. Under mu.
func (p *Processor) resolveBehind(j *job, l *resolve.Listing) (ends []*job) {
	now := time.Now()
	for _, i := range p.queue.Resolve(&j.Item, func(i *queue.Item) (string, bool) {
		w := jobOf(i)
		id, err := l.Find(w.dec.Key)
		w.listedAt = l.At
		return id, err == nil
	}) {
		w := jobOf(i)
		w.hold.active++
		if w.settleWith = p.settledWithoutCall(w, now); w.settleWith == nil {
			_, err := l.Find(w.dec.Key)
			r := refusalOf(err)
			w.settleWith = func(ctx context.Context) { settler{p}.deadLetter(ctx, w, r) }
		}
		ends = append(ends, w)
	}
	return ends
}

// refusalOf returns the dead letter of a look-up that found no single task.
func refusalOf(err error) refusal {
	r := refusal{reason: decision.TaskNotFound, err: err}
	if e, ok := errors.AsType[*resolve.Error](err); ok {
		r.reason, r.status = e.Reason, e.Status
	}
	return r
}
