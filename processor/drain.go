package processor

import (
	"context"
	"time"

	"verdict/processor/queue"
)

// drainGrace is how long a drain that ran out of time waits for aborted calls to
// return. Only a record that Kafka does not acknowledge takes longer, and
// settling it then does nothing.
const drainGrace = time.Second

// Drain gives up the decisions of these claims that have not started, and waits until
// the others are settled. The ctx of every Submit with one of the claims must have
// ended before Drain is called. When ctx ends first, calls in flight are aborted, and
// what they may have done is noted with the claim.
func (p *Processor) Drain(ctx context.Context, claims []Claim) {
	holds := p.revoke(claims)
	for _, h := range holds {
		select {
		case <-h.idle:
		case <-ctx.Done():
		}
	}
	for _, h := range holds {
		h.cancel()
	}
	if ctx.Err() == nil {
		return
	}
	p.reviewer.flush()
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	for _, h := range holds {
		select {
		case <-h.idle:
		case <-grace.C:
			return
		}
	}
}

// revoke removes the claims' decisions that have not started.
func (p *Processor) revoke(claims []Claim) (holds []*hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, claim := range claims {
		h := p.claims.of(claim)
		h.revoked, h.idle = true, make(chan struct{})
		h.active++ // until the end of revoke, so that idle is closed once
		holds = append(holds, h)
		delete(p.claims, claim)
	}
	for _, i := range p.queue.Remove(func(i *queue.Item) bool { return jobOf(i).hold.revoked }) {
		j := jobOf(i)
		j.hold.active++ // leave takes it back
		p.leave(j)
	}
	for _, h := range holds {
		h.done()
	}
	p.nudgeReviewer()
	p.nudge()
	return holds
}
