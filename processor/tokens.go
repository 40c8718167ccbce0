package processor

import (
	"context"
	"sync"
	"time"

	"verdict/metrics"
	"verdict/processor/pacer"
)

// tokens gives the pacer's tokens to those who wait for them.
type tokens struct {
	metrics *metrics.Metrics

	mu      sync.Mutex // short pure sections only
	pacer   *pacer.Pacer
	changed chan struct{} // closed when reservations became void; then replaced
}

func newTokens(perSecond float64, burst int, m *metrics.Metrics) *tokens {
	t := &tokens{metrics: m, pacer: pacer.New(perSecond, burst), changed: make(chan struct{})}
	m.RateLimit.Set(t.pacer.Limit())
	return t
}

// wait takes one token. The error is that of ctx.
func (t *tokens) wait(ctx context.Context) error {
	began := time.Now()
	for {
		t.mu.Lock()
		now := time.Now()
		limit := t.pacer.Limit()
		token := t.pacer.Reserve(now)
		if is := t.pacer.Limit(); is != limit {
			t.metrics.RateLimit.Set(is)
		}
		changed := t.changed
		t.mu.Unlock()
		if token.Wait == 0 {
			t.metrics.RateLimitWait.Observe(now.Sub(began).Seconds())
			return nil
		}

		timer := time.NewTimer(token.Wait)
		select {
		case <-timer.C:
			t.mu.Lock()
			now := time.Now()
			ok := t.pacer.Use(token, now)
			t.mu.Unlock()
			if ok {
				t.metrics.RateLimitWait.Observe(now.Sub(began).Seconds())
				return nil
			}
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			t.mu.Lock()
			t.pacer.Cancel(token, time.Now())
			t.mu.Unlock()
			return ctx.Err()
		}
	}
}

// setShare sets the part of the rate that this instance may use, 0 to 1.
func (t *tokens) setShare(share float64) {
	t.update(func(now time.Time) bool { return t.pacer.SetShare(share, now) })
}

// setRate sets the rate of the group, in calls a second; 0: unlimited.
func (t *tokens) setRate(perSecond float64) {
	t.update(func(now time.Time) bool { return t.pacer.SetRate(perSecond, now) })
}

// answered tells the pacer of an answer.
func (t *tokens) answered(a pacer.Answer) {
	t.update(func(now time.Time) bool { return t.pacer.Answered(a, now) })
}

// update changes the pacer. If that voids reservations, all waiters ask again.
func (t *tokens) update(change func(now time.Time) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !change(time.Now()) {
		return
	}
	t.metrics.RateLimit.Set(t.pacer.Limit())
	close(t.changed)
	t.changed = make(chan struct{})
}

// heldUntil returns when the present hold ends; not after now: there is none.
func (t *tokens) heldUntil() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pacer.HeldUntil()
}

// limit returns the calls a second that may be made now; +Inf: unlimited.
func (t *tokens) limit() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pacer.Limit()
}
