// Package retry holds Verdict's one back-off policy and its one way to wait.
// It counts nothing and retries nothing by itself: each loop stays with the
// code that knows what to try again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy is exponential back-off with full jitter, so that calls that failed
// together do not return together
// (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
type Policy struct {
	Min time.Duration // upper bound of the wait after the first failure; more than 0
	Max time.Duration // upper bound of any wait; at least Min
}

// Backoff returns a random wait for the nth failure in a row, counting from 1:
// more than 0 and at most Min doubled n-1 times, capped at Max.
func (p Policy) Backoff(n int) time.Duration {
	ceiling := p.Max
	if shift := max(n-1, 0); shift < 32 && p.Min<<shift < p.Max && p.Min<<shift > 0 {
		ceiling = p.Min << shift
	}
	return rand.N(ceiling) + 1
}

// Sleep waits for d or until ctx ends, and then returns the error of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
