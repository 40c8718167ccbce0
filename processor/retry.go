package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
)

// unknownKeyRetry is the number of the retry whose back-off applies while it is
// not known whether the API key is good.
const unknownKeyRetry = 3

// retry lets the decision wait and be tried again, or dead-letters it after its
// last attempt. A failure during an outage is not an attempt.
func (a *attempt) retry(ctx context.Context, v verdict, change health.Change) {
	p := a.p
	a.MaybeApplied = v.maybeApplied
	p.countRetry(v.cause)
	if v.signal() != health.Fails || change == health.Opened || change == health.None && p.outages.none(a.Lane) {
		a.Attempts++
		if a.outage != a.permit.Outage {
			a.outage, a.spent = a.permit.Outage, 0
		}
		a.spent++
	}
	if a.Attempts >= p.opts.MaxAttempts {
		reason := decision.RetriesExhausted
		if v.cause == decision.RetryUnconfirmed {
			reason = decision.Unconfirmed
		}
		p.settler.deadLetter(ctx, a.job, refusal{reason: reason, status: v.status, err: v.err})
		return
	}
	p.log.Debug("decision will be tried again", "decision_id", a.dec.ID, "origin", a.origin(), "attempts", a.Attempts, "err", v.err)
	a.claim.Attempted(a.rec.Offset, a.Progress)
	a.requeue(time.Now().Add(max(p.retry.Backoff(max(a.Attempts, 1)), v.atLeast)))
}

// wait returns the decision to the queue until calls go on.
func (a *attempt) wait(v verdict) {
	if v.cause != "" {
		a.p.countRetry(v.cause)
	}
	a.requeue(time.Now().Add(v.atLeast))
}

// checkKey finds out what was refused: the key, in which case all calls pause; this
// task alone; or neither, because it was not the API that refused.
func (a *attempt) checkKey(v verdict) verdict {
	p := a.p
	good, err := p.keys.isGood(a.context())
	switch {
	case a.hold.ctx.Err() != nil:
		v.action = actAbandon
	case err != nil:
		// Not known, because whoami itself failed. No attempt is spent, since
		// nothing is known against the decision.
		p.log.Debug("whoami failed, so it is not known whether the API key is good", "err", err)
		v.action, v.cause, v.atLeast = actWait, "", p.retry.Backoff(unknownKeyRetry)
	case good && isForeign(v.err):
		v.action, v.cause = actRetry, decision.RetryForeign
	case good:
		v.refuse(decision.Forbidden)
	default:
		v.action = actWait
	}
	return v
}

func (p *Processor) countRetry(cause decision.RetryCause) {
	p.opts.Metrics.Retries.WithLabelValues(string(cause)).Inc()
}
