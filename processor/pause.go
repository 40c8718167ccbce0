package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// outage follows the breaker. When a probe confirms an outage, the attempts
// that were spent on the way into it are given back: they were the API's
// failures and not the decisions'. err is what came of the job's call.
func (p *Processor) outage(c change, j *job, err error) {
	switch c {
	case opened:
		p.log.Warn("the API fails too often; holding calls but for one probe every few seconds", "pause", string(decision.PausedOutage), "probe_every", breakerDelay.String(), "err", err)
		p.Pause(decision.PausedOutage, true)
	case confirmed:
		spell := j.permit.spell - 1 // they were spent before the breaker opened
		p.refundAll(spell)
		p.refund(j, spell)
	case closed:
		p.log.Info("the API serves again", "pause", string(decision.PausedOutage))
		p.Pause(decision.PausedOutage, false)
	}
	if c != unchanged {
		p.nudge()
	}
}

func (p *Processor) refundAll(spell uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.begunWaiting(func(j *job) { p.refund(j, spell) })
}

func (p *Processor) refund(j *job, spell uint64) {
	if j.spell == spell && j.spent > 0 {
		j.Attempts = max(j.Attempts-j.spent, 0)
		j.spent = 0
		j.claim.Attempted(j.rec.Offset, j.Progress)
	}
}

// throttled holds all calls for as long as the API asked, or, where it did not
// say, for a back-off of its own.
func (p *Processor) throttled(r passfort.RateLimit) {
	wait := r.RetryAfter
	if !r.HasRetryAfter {
		wait = p.policy.Backoff(int(p.throttles.Add(1)))
	}
	p.limiter.throttled(wait)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused[decision.PausedThrottled] {
		return
	}
	p.paused[decision.PausedThrottled] = true
	p.opts.Metrics.Paused.WithLabelValues(string(decision.PausedThrottled)).Set(1)
	if p.throttleTold.Swap(true) {
		return // the first call after a hold met the next
	}
	p.log.Warn("the API asks to wait; holding calls and cutting the rate", "pause", string(decision.PausedThrottled), "wait", wait)
}

// liftHold ends the pause of a 429 once the limiter's hold is over, which later
// 429s may have lengthened. It says how long the hold still lasts. Under mu.
func (p *Processor) liftHold(now time.Time) time.Duration {
	if !p.paused[decision.PausedThrottled] {
		return 0
	}
	if left := p.limiter.heldUntil().Sub(now); left > 0 {
		return left
	}
	p.paused[decision.PausedThrottled] = false
	p.opts.Metrics.Paused.WithLabelValues(string(decision.PausedThrottled)).Set(0)
	return 0
}

// served notes that the API took a call. The log tells that it asks to wait no
// more when that is after the hold, and not of a call that was under way before:
// a hold that is followed by another is not over.
func (p *Processor) served() {
	if p.throttleTold.Load() && !p.Paused(decision.PausedThrottled) && p.throttleTold.Swap(false) {
		p.log.Info("the API takes calls again", "pause", string(decision.PausedThrottled))
	}
}

// auth is what is known of the API key. At most one worker asks at a time; those
// that were refused meanwhile wait for its answer and share it.
type auth struct {
	turn   chan struct{} // size 1: whoever put a token in has the turn
	goodAt time.Time     // when whoami last said so; belongs to whom has the turn
}

// suspect finds out what a refusal was about: the key, and then everyone
// pauses, or this task alone.
func (p *Processor) suspect(ctx context.Context, j *job, v verdict) {
	good, err := p.keyIsGood(j)
	switch {
	case j.hold.ctx.Err() != nil:
		p.giveUp(j)
	case err != nil:
		// Not known, because whoami failed in its own way. Ask again later; it
		// is no attempt, since nothing is known against the decision.
		p.log.Debug("asked whoami whether the key is good", "err", err)
		p.putBack(j, time.Now().Add(p.policy.Backoff(3)))
	case good:
		p.deadLetter(ctx, j, deadLetter{reason: decision.Forbidden, status: v.status, err: v.err, called: true})
	default:
		p.opts.Metrics.Retries.WithLabelValues(string(decision.RetryAuth)).Inc()
		p.putBack(j, time.Now())
	}
}

// keyIsGood asks whoami about the key, or takes the answer that another worker
// got since this decision's call began. A bad key begins the pause.
func (p *Processor) keyIsGood(j *job) (bool, error) {
	asked := time.Now()
	select {
	case p.auth.turn <- struct{}{}:
		defer func() { <-p.auth.turn }()
	case <-j.hold.ctx.Done():
		return false, j.hold.ctx.Err()
	}
	if p.Paused(decision.PausedAuth) {
		return false, nil
	}
	if p.auth.goodAt.After(asked) {
		return true, nil
	}
	err := p.whoami(j.context())
	if err == nil {
		p.auth.goodAt = time.Now()
		return true, nil
	}
	if e, ok := errors.AsType[*passfort.Error](err); !ok || e.Kind != passfort.KindKey {
		return false, err
	}
	p.log.Error("the API key is refused; holding calls until it is good again (correct api.key_file, which is read again, or restart with another api.key)", "pause", string(decision.PausedAuth), "err", err)
	p.Pause(decision.PausedAuth, true)
	p.running.Go(func() { p.awaitKey(p.life) })
	return false, nil
}

// whoami asks, with a token, whose the key is.
func (p *Processor) whoami(ctx context.Context) error {
	if err := p.limiter.wait(ctx); err != nil {
		return err
	}
	_, _, err := call(ctx, p, passfort.OpWhoAmI, func(ctx context.Context) (passfort.Identity, passfort.Response, error) {
		return p.opts.API.WhoAmI(ctx)
	})
	return err
}

// awaitKey probes until the key is good, reading it again each time.
func (p *Processor) awaitKey(ctx context.Context) {
	for n := 1; ; n++ {
		timer := time.NewTimer(p.policy.Backoff(n + 2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := p.opts.ReloadKey(); err != nil {
			p.log.Warn("read the API key again", "err", err)
		}
		if err := p.whoami(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		p.Pause(decision.PausedAuth, false)
		p.log.Info("the API key is good again", "pause", string(decision.PausedAuth))
		return
	}
}
