package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/passfort"
	"verdict/processor/resolve"
)

// lister gets lists of profiles' tasks: from memory, from a call that is under
// way, or from a call of its own.
type lister struct {
	p       *Processor
	memory  resolve.Memory          // under Processor.mu
	pending map[string]*pendingList // by profile; under Processor.mu
}

// pendingList is one call for a list, whose answer others may be waiting for.
type pendingList struct {
	at   time.Time
	done chan struct{} // closed when the call is over; the fields below are then set
	list *resolve.Listing
	err  error
}

func newLister(p *Processor) lister {
	return lister{p: p, memory: resolve.NewMemory(), pending: make(map[string]*pendingList)}
}

// recall returns a remembered list that was asked for at since or later; nil:
// there is none.
func (l *lister) recall(profileID string, since time.Time) *resolve.Listing {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.memory.Recall(profileID, since, time.Now())
}

// remember keeps a list.
func (l *lister) remember(profileID string, list *resolve.Listing) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.memory.Remember(profileID, list, time.Now())
}

// list returns the profile's tasks as they were at since or later: from memory,
// from the call that is under way, or from a call of its own, for which the caller
// has a token. called reports that the token was used.
func (l *lister) list(ctx context.Context, profileID string, since time.Time) (list *resolve.Listing, called bool, err error) {
	p := l.p
	for {
		p.mu.Lock()
		if list := l.memory.Recall(profileID, since, time.Now()); list != nil {
			p.mu.Unlock()
			return list, false, nil
		}
		other := l.pending[profileID]
		if other == nil || other.at.Before(since) {
			break
		}
		p.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, false, canceled(ctx)
		}
		if e, ok := errors.AsType[*passfort.Error](other.err); ok && e.Kind == passfort.KindCanceled {
			continue // it was aborted with its partition, which need not be this caller's
		}
		return other.list, false, other.err
	}
	own := &pendingList{at: time.Now(), done: make(chan struct{}), err: errUnfinished} // if it panics
	l.pending[profileID] = own
	p.mu.Unlock()

	defer func() {
		p.mu.Lock()
		if l.pending[profileID] == own {
			delete(l.pending, profileID)
		}
		if own.err == nil {
			l.memory.Remember(profileID, own.list, time.Now())
		}
		p.mu.Unlock()
		close(own.done)
	}()
	own.list, own.err = l.now(ctx, profileID)
	return own.list, true, own.err
}

func canceled(ctx context.Context) error {
	return &passfort.Error{Operation: passfort.OpListTasks, Kind: passfort.KindCanceled, Message: ctx.Err().Error()}
}

// now makes the call, for which the caller has a token.
func (l *lister) now(ctx context.Context, profileID string) (*resolve.Listing, error) {
	at := time.Now()
	tasks, resp, err := call(ctx, l.p, passfort.OpListTasks, func(ctx context.Context) ([]passfort.Task, passfort.Response, error) {
		return l.p.opts.API.ListTasks(ctx, profileID)
	})
	if err != nil {
		return nil, err
	}
	return resolve.NewListing(at, resp.Status, tasks), nil
}
