package processor

import (
	"math/rand/v2"
	"time"
)

// backoff is the time to wait after the nth failure, n from 1: exponential with
// full jitter, so that decisions that failed together do not come back
// together (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
func backoff(n int, least, most time.Duration) time.Duration {
	ceiling := most
	if shift := max(n-1, 0); shift < 32 && least<<shift < most && least<<shift > 0 {
		ceiling = least << shift
	}
	return rand.N(ceiling) + 1
}
