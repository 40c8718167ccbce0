package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/passfort"
	"verdict/processor/resolve"
)

// lists is the lists of profiles' tasks that are remembered or being asked for.
// Under Processor.mu.
type lists struct {
	resolve.Memory
	pending map[string]*pendingList // by profile
}

// pendingList is one call for a list, for whose answer others may wait.
type pendingList struct {
	at   time.Time
	done chan struct{} // closed when the call is over; the fields below are then set
	list *resolve.Listing
	err  error
}

func newLists() lists {
	return lists{Memory: resolve.NewMemory(), pending: make(map[string]*pendingList)}
}

// recallList returns a remembered list that was asked for at since or later.
func (p *Processor) recallList(profileID string, since time.Time) *resolve.Listing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists.Recall(profileID, since, time.Now())
}

// list returns the profile's tasks as they were at since or later: remembered,
// from the call that is under way, or from a call of its own, for which the caller
// has a token. called reports that the token was used.
func (p *Processor) list(ctx context.Context, profileID string, since time.Time) (l *resolve.Listing, called bool, err error) {
	for {
		p.mu.Lock()
		if l := p.lists.Recall(profileID, since, time.Now()); l != nil {
			p.mu.Unlock()
			return l, false, nil
		}
		other := p.lists.pending[profileID]
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
			continue // it was aborted with a partition that need not be this one's
		}
		return other.list, false, other.err
	}
	own := &pendingList{at: time.Now(), done: make(chan struct{}), err: errUnfinished} // if it panics
	p.lists.pending[profileID] = own
	p.mu.Unlock()

	defer func() {
		p.mu.Lock()
		if p.lists.pending[profileID] == own {
			delete(p.lists.pending, profileID)
		}
		if own.err == nil {
			p.lists.Remember(profileID, own.list, time.Now())
		}
		p.mu.Unlock()
		close(own.done)
	}()
	own.list, own.err = p.listNow(ctx, profileID)
	return own.list, true, own.err
}

func canceled(ctx context.Context) error {
	return &passfort.Error{Operation: passfort.OpListTasks, Kind: passfort.KindCanceled, Message: ctx.Err().Error()}
}

// listNow makes the call, for which the caller has a token.
func (p *Processor) listNow(ctx context.Context, profileID string) (*resolve.Listing, error) {
	at := time.Now()
	tasks, resp, err := call(ctx, p, passfort.OpListTasks, func(ctx context.Context) ([]passfort.Task, passfort.Response, error) {
		return p.opts.API.ListTasks(ctx, profileID)
	})
	if err != nil {
		return nil, err
	}
	return resolve.NewListing(at, resp.Status, tasks), nil
}
