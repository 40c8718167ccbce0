package processor

import (
	"context"
	"slices"
	"time"

	"verdict/internal/decision"
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
	var holds []*hold
	p.do(func(m *machines, _ time.Time) { holds = m.revoke(claims) })
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
			p.noteUnacknowledged(holds)
			return
		}
	}
}

// noteUnacknowledged notes with the claims the decisions whose call is done and whose
// record Kafka has not acknowledged, so that their next owner looks first.
func (p *Processor) noteUnacknowledged(holds []*hold) {
	p.do(func(*machines, time.Time) {
		for _, h := range holds {
			for j := h.unsettled.first; j != nil; j = j.newer {
				if j.ending && j.shown > 0 {
					j.claim.Attempted(j.rec.Offset, decision.Progress{Attempts: j.shown, MaybeApplied: true})
				}
			}
		}
	})
}

// revoke removes the claims' decisions that have not started.
func (m *machines) revoke(claims []Claim) (holds []*hold) {
	for _, claim := range claims {
		h := m.claims.of(claim)
		h.revoked, h.idle = true, make(chan struct{})
		h.active++ // until the end of revoke, so that idle is closed once
		holds = append(holds, h)
		delete(m.claims, claim)
	}
	for _, i := range m.queue.Remove(func(i *queue.Item) bool { return jobOf(i).hold.revoked }) {
		j := jobOf(i)
		j.hold.active++ // leave takes it back
		m.leave(j)
	}
	m.cancelling = slices.DeleteFunc(m.cancelling, func(j *job) bool {
		if j.hold.revoked {
			m.leave(j)
		}
		return j.hold.revoked
	})
	m.parking.Remove(func(e parked) bool { return e.hold.revoked })
	for _, lane := range decision.Lanes {
		m.parkingChanged(lane)
	}
	for _, h := range holds {
		h.done()
	}
	m.wants.review, m.wants.dispatch = true, true
	return holds
}
