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
type lister struct{ p *Processor }

// pendingList is one call for a list, whose answer others may be waiting for.
type pendingList struct {
	at   time.Time
	done chan struct{} // closed when the call is over; the fields below are then set
	list *resolve.Listing
	err  error
}

// recall returns a remembered list that was asked for at since or later; nil:
// there is none.
func (l lister) recall(profileID string, since time.Time) (list *resolve.Listing) {
	l.p.do(func(m *machines, now time.Time) { list = m.lists.Recall(profileID, since, now) })
	return list
}

// remember keeps a list.
func (l lister) remember(profileID string, list *resolve.Listing) {
	l.p.do(func(m *machines, now time.Time) { m.lists.Remember(profileID, list, now) })
}

// list returns the profile's tasks as they were at since or later: from memory,
// from the call that is under way, or from a call of its own, for which the caller
// has a token. called reports that the token was used.
func (l lister) list(ctx context.Context, profileID string, since time.Time) (list *resolve.Listing, called bool, err error) {
	for {
		own := &pendingList{done: make(chan struct{}), err: errUnfinished} // if it panics
		var other *pendingList
		l.p.do(func(m *machines, now time.Time) {
			if list = m.lists.Recall(profileID, since, now); list != nil {
				return
			}
			if other = m.listing[profileID]; other == nil || other.at.Before(since) {
				own.at, other = now, nil
				m.listing[profileID] = own
			}
		})
		switch {
		case list != nil:
			return list, false, nil
		case other == nil:
			l.callFor(ctx, profileID, own)
			return own.list, true, own.err
		}
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
}

// callFor makes a call for which others may wait.
func (l lister) callFor(ctx context.Context, profileID string, own *pendingList) {
	defer func() {
		l.p.do(func(m *machines, now time.Time) {
			if m.listing[profileID] == own {
				delete(m.listing, profileID)
			}
			if own.err == nil {
				m.lists.Remember(profileID, own.list, now)
			}
		})
		close(own.done)
	}()
	own.list, own.err = l.now(ctx, profileID)
}

func canceled(ctx context.Context) error {
	return &passfort.Error{Operation: passfort.OpListTasks, Kind: passfort.KindCanceled, Message: ctx.Err().Error()}
}

// now makes the call, for which the caller has a token.
func (l lister) now(ctx context.Context, profileID string) (*resolve.Listing, error) {
	at := time.Now()
	tasks, resp, err := call(ctx, l.p, passfort.OpListTasks, func(ctx context.Context) ([]passfort.Task, passfort.Response, error) {
		return l.p.opts.API.ListTasks(ctx, profileID)
	})
	if err != nil {
		return nil, err
	}
	return resolve.NewListing(at, resp.Status, tasks), nil
}
