package submit

import (
	"context"
	"sync"
)

// inflight counts the records that the publisher has accepted and not finished. The
// sending goroutine adds and waits; the publisher's goroutines finish.
type inflight struct {
	mu   sync.Mutex
	n    int
	err  error         // the first error of a record
	idle chan struct{} // closed when n becomes 0; nil: no goroutine waits
}

func (f *inflight) add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *inflight) done(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	if f.n--; f.n == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// failed returns the first error of a record.
func (f *inflight) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// wait waits until no record is in flight, and returns the first error of a record.
func (f *inflight) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.n > 0 && f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return f.failed()
}
