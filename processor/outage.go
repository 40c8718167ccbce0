package processor

import (
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
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
	change, foreign := o.update(lane, permit, signal, isForeign(err))
	switch {
	case foreign:
		p.log.Warn("API calls are answered by something that is not the API; holding calls except a probe every few seconds "+
			"(check api.base_url, which ends with the API's version, and the gateway or proxy in front of the API)",
			"pause", string(decision.PausedOutage), "lane", lane.String(), "probe_every", health.ProbeEvery.String(), "err", err)
	case change == health.Opened:
		p.log.Warn("API calls keep failing; holding calls except a probe every few seconds",
			"pause", string(decision.PausedOutage), "lane", lane.String(), "probe_every", health.ProbeEvery.String(), "err", err)
	case change == health.Closed:
		p.log.Info("API works again", "pause", string(decision.PausedOutage), "lane", lane.String())
	}
	if change != health.None {
		p.nudge()
	}
	return change
}

// update tells a lane's breaker about a call and follows its change. sayForeign: the
// outage is one of answers that are not the API's, and that was not logged yet.
func (o outages) update(lane decision.Lane, permit health.Permit, signal health.Signal, isForeign bool) (change health.Change, sayForeign bool) {
	p := o.p
	p.mu.Lock()
	defer p.mu.Unlock()
	change = p.breakers[lane].Release(permit, signal, time.Now())
	if change == health.Opened || change == health.Confirmed {
		sayForeign = isForeign && !p.foreignSaid
		p.foreignSaid = p.foreignSaid || isForeign
	}
	switch change {
	case health.Opened, health.Closed:
		p.pauses.setLane(lane, decision.LanePausedOutage, change == health.Opened)
		p.pauses.set(decision.PausedOutage, !p.breakers.closed())
		p.foreignSaid = p.foreignSaid && !p.breakers.closed()
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
	return change, sayForeign
}

// isForeign reports whether a call failed with an answer that is not the API's.
func isForeign(err error) bool {
	e, ok := errors.AsType[*passfort.Error](err)
	return ok && e.Foreign
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
