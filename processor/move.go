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

// move continues with a decision whose profile has been listed, and with those
// that wait behind the same gate: each goes to the task that its key names, or is
// dead-lettered.
func (d dispatcher) move(ctx context.Context, j *job, l *resolve.Listing) {
	p := d.p
	id, refused := moveTarget(j, l)
	var ends []*job // that have no task; each is settled below, by its settleWith
	p.do(func(m *machines, now time.Time) {
		if refused != nil { // until then it keeps its place
			j.settleWith = func(ctx context.Context) { p.settler.deadLetter(ctx, j, *refused) }
			ends = append(ends, j)
		}
		ends = append(ends, d.resolveBehind(m, j, l, now)...)
		switch {
		case refused != nil:
		case j.hold.revoked:
			m.giveUp(j)
		default:
			m.load.endWork(j)
			j.listedAt = l.At
			m.queue.Move(&j.Item, id)
			j.spans.waits()
			j.hold.done()
		}
		m.wants.review, m.wants.dispatch = true, true
	})
	for _, j := range ends {
		p.settler.withoutCall(ctx, j, j.settleWith)
	}
}

// moveTarget returns the ID of the task that the decision is to act on, or why
// there is none. A decision that may have been applied to the task it was made for
// is not carried out on that task's successor.
func moveTarget(j *job, l *resolve.Listing) (id string, refused *refusal) {
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
// those that have none, taken out of the queue, with how to settle them.
func (d dispatcher) resolveBehind(m *machines, j *job, l *resolve.Listing, now time.Time) (ends []*job) {
	for _, i := range m.queue.Resolve(&j.Item, func(i *queue.Item) (string, bool) {
		w := jobOf(i)
		id, err := l.Find(w.dec.Key)
		w.listedAt = l.At
		return id, err == nil
	}) {
		w := jobOf(i)
		w.hold.active++
		if w.settleWith = d.settledWithoutCall(m, w, now); w.settleWith == nil {
			_, err := l.Find(w.dec.Key)
			r := refusalOf(err)
			w.settleWith = func(ctx context.Context) { d.p.settler.deadLetter(ctx, w, r) }
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
