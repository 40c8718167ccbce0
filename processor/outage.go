package processor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/retry"
	"verdict/processor/health"
)

// whoAmITimeout bounds one call of whoami, whose answer lanes may wait for.
const whoAmITimeout = 10 * time.Second

// outages follows processor/health: it asks whoami when that is wanted, and pauses
// and resumes lanes.
type outages struct{ p *Processor }

// release gives a permit back with what its call said about the API. first says that it
// was the first attempt at its decision.
func (o outages) release(m *machines, permit health.Permit, signal health.Signal, first bool, err error, now time.Time) {
	if isKeyError(err) {
		m.health.Suspect(now)
	}
	m.wants.whoAmI = signal == health.Refused || signal == health.Fails
	changes := m.health.Release(permit, signal, first, now)
	o.show(m, changes, err, permit.Probe && signal == health.Fails)
}

// show shows in the metrics and in the log what changed. probed says that a probe failed
// with err.
func (o outages) show(m *machines, changes health.Changes, err error, probed bool) {
	var paused, resumed []string
	for _, lane := range decision.Lanes {
		switch changes[lane] {
		case health.Paused:
			paused = append(paused, lane.String())
		case health.Resumed:
			resumed = append(resumed, lane.String())
		case health.None:
			continue
		}
		m.pauses.setLane(lane, decision.LanePausedOutage, m.health.Paused(lane))
	}
	m.pauses.set(decision.PausedOutage, m.health.AnyPaused())
	foreign := (len(paused) > 0 || probed) && isForeign(err) && !m.foreignSaid
	m.foreignSaid = (m.foreignSaid || foreign) && m.health.AnyPaused()
	if !foreign && len(paused)+len(resumed) == 0 {
		return
	}
	m.wants.dispatch = true
	m.say(func() {
		pause := []any{"pause", string(decision.PausedOutage)}
		switch {
		case foreign:
			o.p.log.Warn("API calls are answered by something that is not the API; holding calls except probes "+
				"(check api.base_url, which ends with the API's version, and the gateway or proxy in front of the API)",
				append(pause, "lane", strings.Join(paused, ","), "err", err)...)
		case len(paused) > 0:
			o.p.log.Warn("API calls keep failing; holding calls except probes", append(pause, "lane", strings.Join(paused, ","), "err", err)...)
		}
		if len(resumed) > 0 {
			o.p.log.Info("API works again", append(pause, "lane", strings.Join(resumed, ","))...)
		}
	})
}

// watch asks whoami when processor/health wants it, until ctx ends.
func (o outages) watch(ctx context.Context) {
	p := o.p
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.whoAmI:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		var at time.Time
		var wanted bool
		p.do(func(m *machines, _ time.Time) { at, wanted = m.health.AskAt(p.tokens.limit()) })
		if left := time.Until(at); wanted && left > 0 {
			timer.Reset(min(left, time.Second)) // the rate may change meanwhile
		} else if wanted {
			o.ask(ctx)
			notify(p.whoAmI, true)
		}
	}
}

// ask asks whoami, if that is still wanted once there is a token, and acts on the
// answer.
func (o outages) ask(ctx context.Context) {
	p := o.p
	if p.tokens.wait(ctx) != nil {
		return
	}
	var wanted bool
	p.do(func(m *machines, now time.Time) {
		var at time.Time
		if at, wanted = m.health.AskAt(p.tokens.limit()); now.Before(at) {
			wanted = false
		}
		if wanted {
			m.health.Asking(now)
		}
	})
	if !wanted {
		return
	}
	err := o.call(ctx)
	if isKeyError(err) && !isForeign(err) {
		o.awaitKey(ctx, err)
		return
	}
	o.answered(ctx, err)
}

// call asks whoami. The caller has a token.
func (o outages) call(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, whoAmITimeout)
	defer cancel()
	_, _, err := call(ctx, o.p, passfort.OpWhoAmI, o.p.opts.API.WhoAmI)
	return err
}

// answered acts on an answer of whoami that says nothing about the key.
func (o outages) answered(ctx context.Context, err error) {
	e, known := errors.AsType[*passfort.Error](err)
	if known && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) {
		o.reloadKey() // a gateway may check the key as well
	}
	o.p.do(func(m *machines, now time.Time) {
		var changes health.Changes
		switch {
		case err == nil:
			var idle [len(decision.Lanes)]bool // nothing could go now
			for _, lane := range decision.Lanes {
				idle[lane] = !m.waiting(lane)
			}
			changes = m.health.Named(idle, now)
		case ctx.Err() != nil, known && e.Kind == passfort.KindThrottled:
			m.health.Unasked()
		default:
			changes = m.health.Unnamed(now)
		}
		o.show(m, changes, err, false)
		m.wants.dispatch = true
	})
}

// awaitKey holds all calls until whoami accepts the key, which is read again before
// each try.
func (o outages) awaitKey(ctx context.Context, err error) {
	p := o.p
	p.log.Error("API key is refused; holding calls until it is accepted (correct api.key_file, which is read again, or restart with another api.key)",
		"pause", string(decision.PausedAuth), "err", err)
	p.Pause(decision.PausedAuth, true)
	for n := 1; ; n++ {
		p.do(func(m *machines, _ time.Time) { m.health.KeyRefused() })
		if retry.Sleep(ctx, p.retry.Backoff(n+2)) != nil {
			return
		}
		o.reloadKey()
		if p.tokens.wait(ctx) != nil {
			return
		}
		p.do(func(m *machines, now time.Time) { m.health.Asking(now) })
		if o.call(ctx) == nil {
			break
		}
	}
	o.answered(ctx, nil)
	p.Pause(decision.PausedAuth, false)
	p.log.Info("API key is accepted again", "pause", string(decision.PausedAuth))
}

func (o outages) reloadKey() {
	if err := o.p.opts.ReloadKey(); err != nil {
		o.p.log.Warn("reading the API key again failed; probing with the old one", "err", err)
	}
}

// isForeign reports whether a call failed with an answer that is not the API's.
func isForeign(err error) bool {
	e, ok := errors.AsType[*passfort.Error](err)
	return ok && e.Foreign
}

// isKeyError reports whether a call was refused as it would be with a bad key.
func isKeyError(err error) bool {
	e, ok := errors.AsType[*passfort.Error](err)
	return ok && e.Kind == passfort.KindKey
}
