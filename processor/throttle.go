package processor

import (
	"sync/atomic"
	"time"

	"verdict/internal/decision"
)

// throttle follows the holds that the API asks for with 429s.
type throttle struct {
	p      *Processor
	logged atomic.Bool // the log says that the API asks to wait
}

// begin notes that all calls are held.
func (t *throttle) begin() {
	t.p.do(func(m *machines, now time.Time) {
		if m.pauses.set(decision.PausedThrottled, true) || t.logged.Swap(true) {
			return
		}
		wait := t.p.tokens.heldUntil().Sub(now).Round(time.Millisecond)
		m.say(func() {
			t.p.log.Warn("API asks to wait (429); holding calls and cutting the rate", "pause", string(decision.PausedThrottled), "wait", wait)
		})
	})
}

// answered notes that the API answered a call without a 429. The log then says
// that calls go on, unless the call was under way before a hold that still lasts.
func (t *throttle) answered() {
	if t.logged.Load() && !t.p.Paused(decision.PausedThrottled) && t.logged.Swap(false) {
		t.p.log.Info("API accepts calls again", "pause", string(decision.PausedThrottled))
	}
}
