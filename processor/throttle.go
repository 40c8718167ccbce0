package processor

import (
	"sync/atomic"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// throttle follows the holds that the API asks for with 429s.
type throttle struct {
	p      *Processor
	inARow atomic.Int32 // 429s in a row that did not say how long to wait
	logged atomic.Bool  // the log says that the API asks to wait
}

// wait returns how long a 429 asks to wait or, where it does not say, a back-off of
// our own.
func (t *throttle) wait(r passfort.RateLimit) time.Duration {
	if r.HasRetryAfter {
		return r.RetryAfter
	}
	return t.p.retry.Backoff(int(t.inARow.Add(1)))
}

// begin notes that all calls are held.
func (t *throttle) begin(wait time.Duration) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.p.pauses.set(decision.PausedThrottled, true) || t.logged.Swap(true) {
		return
	}
	t.p.log.Warn("API asks to wait (429); holding calls and cutting the rate", "pause", string(decision.PausedThrottled), "wait", wait)
}

// lift ends the pause once the hold is over, which later 429s may have made
// longer. It returns how long the hold still lasts. Under Processor.mu.
func (t *throttle) lift(now time.Time) time.Duration {
	if !t.p.pauses.on[decision.PausedThrottled] {
		return 0
	}
	if left := t.p.tokens.heldUntil().Sub(now); left > 0 {
		return left
	}
	t.p.pauses.set(decision.PausedThrottled, false)
	return 0
}

// answered notes that the API answered a call without a 429. The log then says
// that calls go on, unless the call was under way before a hold that still lasts.
func (t *throttle) answered() {
	if t.logged.Load() && !t.p.Paused(decision.PausedThrottled) && t.logged.Swap(false) {
		t.p.log.Info("API accepts calls again", "pause", string(decision.PausedThrottled))
	}
}

// completed notes a completion, after which bare 429s back off from the start.
func (t *throttle) completed() { t.inARow.Store(0) }
