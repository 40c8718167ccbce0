package processor

import (
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// breakers is a breaker for each lane: a backfill whose tasks all fail does not slow
// live down. Under Processor.mu.
type breakers [len(decision.Lanes)]*health.Breaker

func newBreakers() (b breakers) {
	for lane := range b {
		b[lane] = health.NewBreaker()
	}
	return b
}

// closed reports whether no lane has an outage.
func (b *breakers) closed() bool {
	for _, one := range b {
		if !one.Closed() {
			return false
		}
	}
	return true
}

// outages follows the breakers: it pauses and resumes lanes.
type outages struct{ p *Processor }

// release gives a lane's permit back with what its call said about the API.
func (o outages) release(lane decision.Lane, permit health.Permit, signal health.Signal, err error) health.Change {
	p := o.p
	change := o.update(lane, permit, signal)
	switch change {
	case health.None:
		return change
	case health.Opened:
		p.log.Warn("API calls keep failing; holding calls except a probe every few seconds",
			"pause", string(decision.PausedOutage), "lane", lane.String(), "probe_every", health.ProbeEvery.String(), "err", err)
	case health.Closed:
		p.log.Info("API works again", "pause", string(decision.PausedOutage), "lane", lane.String())
	case health.Confirmed:
	}
	p.nudge()
	return change
}

func (o outages) update(lane decision.Lane, permit health.Permit, signal health.Signal) health.Change {
	p := o.p
	p.mu.Lock()
	defer p.mu.Unlock()
	change := p.breakers[lane].Release(permit, signal, time.Now())
	switch change {
	case health.Opened, health.Closed:
		p.pauses.setLane(lane, decision.LanePausedOutage, change == health.Opened)
		p.pauses.set(decision.PausedOutage, !p.breakers.closed())
	case health.Confirmed:
		// It was an outage, so the attempts on the way into it were failures of the
		// API and not of the decisions.
		p.queue.EachTried(func(i *queue.Item) {
			if i.Lane == lane {
				refund(jobOf(i), permit)
			}
		})
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

// none reports whether a lane has no outage.
func (o outages) none(lane decision.Lane) bool {
	o.p.mu.Lock()
	defer o.p.mu.Unlock()
	return o.p.breakers[lane].Closed()
}
