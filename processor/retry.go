package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
)

const (
	// refusedWait is the shortest wait after a refusal. Within it, whoami says whether
	// the API works.
	refusedWait = 1500 * time.Millisecond

	// aloneFor is how long a decision fails before whoami is evidence enough, where
	// nothing else completes.
	aloneFor = time.Hour
)

// evidence is what was known of the API before an attempt began: the best evidence that
// it worked after the decision failed first, and not too long ago.
type evidence struct {
	refused health.Evidence // after it was refused first, within the longest back-off
	failed  health.Evidence // after it failed first, within half of the patience
	badKey  bool            // the key was refused since the decision was refused first
	alone   bool            // nothing else was completed since the attempt before began
	since   time.Time       // the failures count from: the first one, or the end of a pause after it
}

// evidenceFor returns the evidence before an attempt at a decision.
func (m *machines) evidenceFor(j *job, now time.Time) (e evidence) {
	if j.failedAt.IsZero() {
		return e
	}
	lately := max(time.Minute, m.opts.BackoffMax)
	since := func(at time.Time, d time.Duration) health.Evidence {
		if before := now.Add(-d); before.After(at) {
			at = before
		}
		return m.health.Evidence(j.Task, at)
	}
	if e.since = j.failedAt; m.health.GoingSince(j.Lane).After(e.since) {
		e.since = m.health.GoingSince(j.Lane)
	}
	e.failed = since(j.failedAt, max(lately, m.opts.Patience/2))
	e.alone = m.health.Evidence(j.Task, j.triedAt) != health.Completed
	if e.badKey = m.health.KeyRefusedAfter(j.refusedAt); j.refused != "" && !e.badKey {
		e.refused = since(j.refusedAt, lately)
	}
	return e
}

// fail counts a failed attempt. The decision is dead-lettered if it is to blame; else it
// waits and is tried again.
func (a *attempt) fail(ctx context.Context, v verdict) {
	p := a.p
	now := time.Now()
	a.MaybeApplied = v.maybeApplied
	a.Attempts++
	if a.seen.alone {
		a.alone++
	}
	if a.failedAt.IsZero() {
		a.failedAt = now
	}
	if reason := v.refusal.reason; a.refused != reason || a.seen.badKey {
		// What was known of the API says nothing about this: the key may be bad again.
		a.refused, a.refusedAt, a.seen.refused = reason, now, health.NoEvidence
	}
	if a.isToBlame(&v, now) && a.blame(ctx, &v) {
		return
	}
	p.countRetry(v.cause)
	p.log.Debug("decision will be tried again", "decision_id", a.dec.ID, "origin", a.origin(), "attempts", a.Attempts, "err", v.err)
	a.claim.Attempted(a.rec.Offset, a.Progress)
	a.requeue(time.Now().Add(max(p.retry.Backoff(a.Attempts), v.atLeast)))
}

// isToBlame reports whether a failure is the decision's own fault: the API was seen
// working after the decision failed first, or was refused first for this reason, and before
// this attempt began. The probe of a paused lane never is. Within an hour, attempts that were
// made while nothing else was completed either don't count, nor does the time before the
// lane's latest pause ended.
func (a *attempt) isToBlame(v *verdict, now time.Time) bool {
	o := &a.p.opts
	failedFor, refusedFor := now.Sub(a.failedAt), now.Sub(a.refusedAt)
	switch {
	case v.cause == decision.RetryPanic:
		return a.Attempts >= o.MaxAttempts
	case a.permit.Probe:
		return false
	case v.action == actBlame:
		return a.seen.refused != health.NoEvidence || o.WithoutWhoAmI && refusedFor > 0 && refusedFor >= o.Patience
	case a.Attempts < o.MaxAttempts || failedFor < o.Patience:
		return false
	case failedFor >= aloneFor:
		return a.seen.failed != health.NoEvidence
	}
	return a.seen.failed == health.Completed && a.Attempts-a.alone >= o.MaxAttempts && now.Sub(a.seen.since) >= o.Patience
}

// wait returns the decision to the queue until calls go on.
func (a *attempt) wait(v verdict) {
	if v.cause != "" {
		a.p.countRetry(v.cause)
	}
	a.requeue(time.Now().Add(v.atLeast))
}

func (p *Processor) countRetry(cause decision.RetryCause) {
	p.opts.Metrics.Retries.WithLabelValues(string(cause)).Inc()
}
