package processor

import (
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// outages follows the breaker: it pauses and resumes the service.
type outages struct{ p *Processor }

// release gives a permit back with what its call said about the API.
func (o outages) release(permit health.Permit, signal health.Signal, err error) health.Change {
	p := o.p
	change := o.update(permit, signal)
	switch change {
	case health.None:
		return change
	case health.Opened:
		p.log.Warn("API calls keep failing; holding calls except a probe every few seconds",
			"pause", string(decision.PausedOutage), "probe_every", health.ProbeEvery.String(), "err", err)
	case health.Closed:
		p.log.Info("API works again", "pause", string(decision.PausedOutage))
	case health.Confirmed:
	}
	p.nudge()
	return change
}

func (o outages) update(permit health.Permit, signal health.Signal) health.Change {
	p := o.p
	p.mu.Lock()
	defer p.mu.Unlock()
	change := p.breaker.Release(permit, signal, time.Now())
	switch change {
	case health.Opened:
		p.pauses.set(decision.PausedOutage, true)
	case health.Closed:
		p.pauses.set(decision.PausedOutage, false)
	case health.Confirmed:
		// It was an outage, so the attempts on the way into it were failures of the
		// API and not of the decisions.
		p.queue.EachTried(func(i *queue.Item) { refund(jobOf(i), permit) })
	case health.None:
	}
	return change
}

// refund gives back the attempts that a decision spent before the outage that the
// permit's probe confirmed.
func refund(j *job, permit health.Permit) {
	if j.outage == permit.Outage-1 && j.spent > 0 {
		j.Attempts = max(j.Attempts-j.spent, 0)
		j.spent = 0
		j.claim.Attempted(j.rec.Offset, j.Progress)
	}
}

// none reports whether there is no outage.
func (o outages) none() bool {
	o.p.mu.Lock()
	defer o.p.mu.Unlock()
	return o.p.breaker.Closed()
}
