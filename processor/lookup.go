package processor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// lookups is what is known, and being asked, of profiles' tasks. Under the
// processor's lock.
type lookups struct {
	listings
	flights map[string]*flight // by profile: the list that is being asked for
}

// flight is one call for a list that others may wait for.
type flight struct {
	at   time.Time
	done chan struct{} // closed when the call is over; then what follows is set
	list *listing
	err  error
}

func newLookups() lookups {
	return lookups{listings: newListings(), flights: make(map[string]*flight)}
}

// recall is a list that is remembered and was asked for at since or later.
func (p *Processor) recall(profileID string, since time.Time) *listing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lookups.recall(profileID, since, time.Now())
}

// list is the profile's tasks as they were at since or later: remembered, or by
// the call that is under way, or by a call of its own, for which the caller has
// a token. called says that the token was used.
func (p *Processor) list(ctx context.Context, profileID string, since time.Time) (l *listing, called bool, err error) {
	for {
		p.mu.Lock()
		if l := p.lookups.recall(profileID, since, time.Now()); l != nil {
			p.mu.Unlock()
			return l, false, nil
		}
		f := p.lookups.flights[profileID]
		if f == nil || f.at.Before(since) {
			break
		}
		p.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, false, canceled(ctx)
		}
		if e, ok := errors.AsType[*passfort.Error](f.err); ok && e.Kind == passfort.KindCanceled {
			continue // it was given up with a partition that need not be this one's
		}
		return f.list, false, f.err
	}
	f := &flight{at: time.Now(), done: make(chan struct{})}
	p.lookups.flights[profileID] = f
	p.mu.Unlock()

	f.err = errUnfinished // if it panics
	defer func() {
		p.mu.Lock()
		if p.lookups.flights[profileID] == f {
			delete(p.lookups.flights, profileID)
		}
		if f.err == nil {
			p.lookups.remember(profileID, f.list, time.Now())
		}
		p.mu.Unlock()
		close(f.done)
	}()
	f.list, f.err = p.listNow(ctx, profileID)
	return f.list, true, f.err
}

func canceled(ctx context.Context) error {
	return &passfort.Error{Operation: passfort.OpListTasks, Kind: passfort.KindCanceled, Message: ctx.Err().Error()}
}

// listNow makes the call.
func (p *Processor) listNow(ctx context.Context, profileID string) (*listing, error) {
	at := time.Now()
	tasks, resp, err := call(ctx, p, passfort.OpListTasks, func(ctx context.Context) ([]passfort.Task, passfort.Response, error) {
		return p.opts.API.ListTasks(ctx, profileID)
	})
	if err != nil {
		return nil, err
	}
	return newListing(at, resp.Status, tasks), nil
}

// recheck makes sure that a decision that names its task by alias or type is
// about to act on what is that task now. ok: it is, and the token that the
// attempt has is still to be used. A task that is known for longer than
// listingLife (behind others of its task, or between two attempts) is looked up
// again, while the decision keeps its place.
func (p *Processor) recheck(ctx context.Context, j *job) (v verdict, ok bool) {
	now := time.Now()
	if !j.unresolved() && now.Sub(j.foundAt) < listingLife {
		return verdict{}, true
	}
	l, called, err := p.list(ctx, j.dec.Task.ProfileID, now.Add(-listingLife))
	if err != nil {
		return classifyLook(err, j.MaybeApplied), false
	}
	if id, no := l.find(j.dec.Key); j.unresolved() || no != nil || id != j.dec.Task.TaskID {
		return verdict{action: found, listing: l}, false
	}
	j.foundAt = l.at
	if !called {
		return verdict{}, true
	}
	return p.secondToken(ctx, j)
}

// notFound goes after a 404 for a task, or after a look that says the task is
// expired; v says what becomes of the decision if nothing more is found out.
//
// A decision that named its task by alias or type looks the task up once more:
// it may have been replaced. One that gave an ID asks whether that is the ID of
// a variant; that is an explanation only, so it is left out where it can't be
// had at once.
func (p *Processor) notFound(ctx context.Context, j *job, v verdict) verdict {
	profileID, taskID := j.dec.Task.ProfileID, j.dec.Task.TaskID
	if !j.keyed() {
		l := p.recall(profileID, time.Time{})
		if l == nil {
			if _, ok := p.secondToken(ctx, j); !ok {
				if ctx.Err() != nil {
					return verdict{action: abandon}
				}
				return v
			}
			l, _, _ = p.list(ctx, profileID, time.Now().Add(-listingLife))
		}
		if l != nil {
			if text := variantText(taskID, l.ofVariant(taskID)); text != "" {
				v.deadLetter.text, v.deadLetter.err = text, nil
			}
		}
		return v
	}
	if j.again {
		return v
	}
	after := time.Now().Add(1) // what was known by now led here
	if v, ok := p.secondToken(ctx, j); !ok {
		return v
	}
	l, _, err := p.list(ctx, profileID, after)
	if err != nil {
		return classifyLook(err, j.MaybeApplied)
	}
	j.again = true // and as unclear as before: the 404 says nothing of an earlier call
	if v.deadLetter.called {
		j.Attempts++
		v.deadLetter.called = false
	}
	if id, no := l.find(j.dec.Key); no == nil && id == taskID {
		v.deadLetter.text = fmt.Sprintf("the profile's list has %s as its live task of %s, and yet: %s", taskID, j.dec.Key, v.deadLetter.says())
		v.deadLetter.err = nil
		return v
	}
	return verdict{action: found, listing: l}
}

// variantText says that an ID is that of a variant, if the profile has tasks of
// it.
func variantText(id string, tasks []*passfort.Task) string {
	switch len(tasks) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s is the ID of a task variant, not of a task; the profile's task of that variant is %s", id, strings.ToLower(tasks[0].ID))
	}
	return fmt.Sprintf("%s is the ID of a task variant, not of a task; the profile's tasks of that variant are %s", id, candidates(tasks))
}

// found goes on with a decision whose task was looked up, and with those that
// wait behind the same gate.
func (p *Processor) found(ctx context.Context, j *job, l *listing) {
	id, no := l.find(j.dec.Key)
	if was := j.dec.Task.TaskID; was != "" && j.MaybeApplied {
		// The task is another one by now, or none. A decision that may have been
		// carried out on the one it was made for is not carried out on its successor.
		text := fmt.Sprintf("%s, which may have been completed by it, is not the profile's live task of %s any more", was, j.dec.Key)
		if no == nil {
			text += fmt.Sprintf("; %s is, and was left alone", id)
		}
		no = &deadLetter{reason: decision.TaskNotFound, status: l.status, text: text}
	}
	p.mu.Lock()
	var ends []*job // that have no task; each is ended below, by its instead
	if no != nil {  // until then it keeps its place
		j.instead = func(ctx context.Context) { p.deadLetter(ctx, j, *no) }
		ends = append(ends, j)
	}
	if gate := j.task; gate.gate {
		now := time.Now()
		without := p.queue.resolve(gate, func(j *job) bool {
			id, no := l.find(j.dec.Key)
			j.dec.Task.TaskID, j.foundAt = id, l.at
			return no == nil
		})
		for _, j := range without {
			j.hold.active++
			if j.instead = p.uncalled(j, now); j.instead == nil {
				_, no := l.find(j.dec.Key)
				j.instead = func(ctx context.Context) { p.deadLetter(ctx, j, *no) }
			}
		}
		ends = append(ends, without...)
	}
	switch {
	case no != nil:
	case j.hold.revoked:
		p.handBack(j)
		p.queue.done(j)
		p.leave(j)
	default:
		p.handBack(j)
		j.foundAt = l.at
		p.queue.move(j, id)
		j.spans.waits()
		p.deactivate(j.hold)
	}
	p.profiles.changed()
	p.mu.Unlock()
	p.nudge()
	for _, j := range ends {
		p.endUncalled(ctx, j, j.instead)
	}
}
