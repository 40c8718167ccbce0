package broker

import (
	"context"
	"math/rand/v2"
	"time"
)

// failuresToTell is the number of failed attempts in a row from which
// publishing counts as failing.
const failuresToTell = 2

// attempts is a sequence of attempts at one thing, with a wait after each that
// failed. It belongs to one goroutine.
type attempts struct {
	publisher *Publisher
	failed    int // in a row
}

// succeeded ends the sequence.
func (a *attempts) succeeded() {
	if a.failed >= failuresToTell {
		a.publisher.setFailing(false, nil)
	}
	a.failed = 0
}

// wait waits after a failed attempt and says whether to make another: not if
// the publisher was closed.
func (a *attempts) wait(err error) bool {
	if a.publisher.ctx.Err() != nil {
		return false // which is why the attempt failed
	}
	a.failed++
	if a.failed == failuresToTell {
		a.publisher.setFailing(true, err)
	}
	return sleep(a.publisher.ctx, a.backoff())
}

// backoff doubles from BackoffMin to BackoffMax; the random half keeps
// partitions that failed together from trying again together.
func (a *attempts) backoff() time.Duration {
	d := a.publisher.options.BackoffMax
	// 1<<16 times the least wait is beyond any sensible longest.
	if n := a.failed - 1; n < 16 {
		d = min(d, a.publisher.options.BackoffMin<<n)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d and says whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
