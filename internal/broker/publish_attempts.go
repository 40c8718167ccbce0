package broker

import (
	"verdict/internal/retry"
)

// failuresToReport is the number of failed attempts in a row from which
// publishing counts as failing. A single one does not: every move of a leader
// costs one.
const failuresToReport = 2

// publishAttempts is a sequence of attempts at one thing, with a back-off after
// each that failed. It belongs to one goroutine.
type publishAttempts struct {
	publisher *Publisher
	failed    int // in a row
}

// succeeded ends the sequence.
func (a *publishAttempts) succeeded() {
	if a.failed >= failuresToReport {
		a.publisher.sequenceRecovered()
	}
	a.failed = 0
}

// wait waits after a failed attempt and reports whether to make another: not if
// the publisher was closed.
func (a *publishAttempts) wait(err error) bool {
	p := a.publisher
	if p.ctx.Err() != nil {
		return false // the attempt failed because of it
	}
	a.failed++
	if a.failed == failuresToReport {
		p.sequenceFailed(err)
	}
	backoff := retry.Policy{Min: p.options.BackoffMin, Max: p.options.BackoffMax}
	return retry.Sleep(p.ctx, backoff.Backoff(a.failed)) == nil
}
