package sandbox

import (
	"context"
	"math/bits"
	"time"

	"verdict/internal/retry"
)

// rejects reports whether the task is one that is answered 404.
func (o *Options) rejects(id taskID) bool {
	return o.RejectRate > 0 && share(id.hash(o.Seed)) < o.RejectRate
}

// fails reports whether the nth accepted call is one that is answered 503.
func (o *Options) fails(n int64) bool {
	rate := o.ErrorRate
	return rate > 0 && share(mix(o.Seed, uint64(n))) < rate
}

// wait waits for the latency of the nth accepted call. It reports false if ctx ended,
// which means that the client is gone.
func (o *Options) wait(ctx context.Context, n int64) bool {
	d := o.Latency
	if j := o.Jitter; j > 0 {
		d += time.Duration(share(mix(o.Seed^jitterSalt, uint64(n))) * float64(j))
	}
	return sleep(ctx, d)
}

// sleep waits for d, and reports false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	return d <= 0 || retry.Sleep(ctx, d) == nil
}

// jitterSalt makes the jitter independent of the errors.
const jitterSalt = 0x6a09e667f3bcc909

// mix hashes two numbers well enough for random choices.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	x := hi ^ lo
	x = (x ^ x>>32) * 0xe7037ed1a0b428db
	return x ^ x>>29
}

// share maps x to a number from 0 up to, but not including, 1.
func share(x uint64) float64 { return float64(x>>11) / (1 << 53) }
