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
	if v.signal() != health.Fails || change == health.Opened || change == health.None && p.outages.none() {
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
	a.requeue(time.Now().Add(p.retry.Backoff(max(a.Attempts, 1))))
}

// wait returns the decision to the queue until calls go on.
func (a *attempt) wait(v verdict) {
	if v.cause != "" {
		a.p.countRetry(v.cause)
	}
	a.requeue(time.Now())
}

// checkKey finds out what the API refused: the key, in which case all calls pause,
// or this task alone.
func (a *attempt) checkKey(ctx context.Context, v verdict) {
	p := a.p
	good, err := p.keys.isGood(a.context())
	switch {
	case a.hold.ctx.Err() != nil:
		a.drop()
	case err != nil:
		// Not known, because whoami itself failed. No attempt is spent, since
		// nothing is known against the decision.
		p.log.Debug("whoami failed, so it is not known whether the API key is good", "err", err)
		a.requeue(time.Now().Add(p.retry.Backoff(unknownKeyRetry)))
	case good:
		p.settler.deadLetter(ctx, a.job, refusal{reason: decision.Forbidden, status: v.status, err: v.err, called: true})
	default:
		p.countRetry(v.cause)
		a.requeue(time.Now())
	}
}

func (p *Processor) countRetry(cause decision.RetryCause) {
	p.opts.Metrics.Retries.WithLabelValues(string(cause)).Inc()
}
