package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/retry"
)

// keyCheck knows whether the API key is good. At most one worker asks at a time;
// others whose calls are refused in the meantime wait for its answer and share
// it.
type keyCheck struct {
	p      *Processor
	turn   chan struct{} // size 1: whoever filled it has the turn
	goodAt time.Time     // when whoami last accepted the key; belongs to whoever has the turn
}

func newKeyCheck(p *Processor) keyCheck {
	return keyCheck{p: p, turn: make(chan struct{}, 1)}
}

// isGood asks whoami about the key with ctx, or takes the answer that another
// worker got since. A bad key begins the pause. wait ends the wait for the turn.
func (k *keyCheck) isGood(ctx context.Context) (bool, error) {
	asked := time.Now()
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if k.p.Paused(decision.PausedAuth) {
		return false, nil
	}
	if k.goodAt.After(asked) {
		return true, nil
	}
	err := k.ask(ctx)
	if err == nil {
		k.goodAt = time.Now()
		return true, nil
	}
	if e, ok := errors.AsType[*passfort.Error](err); !ok || e.Kind != passfort.KindKey {
		return false, err
	}
	k.p.log.Error("API key is refused; holding calls until it is accepted (correct api.key_file, which is read again, or restart with another api.key)",
		"pause", string(decision.PausedAuth), "err", err)
	k.p.Pause(decision.PausedAuth, true)
	k.p.running.Go(func() { k.await(k.p.life) })
	return false, nil
}

// ask takes a token and asks whoami.
func (k *keyCheck) ask(ctx context.Context) error {
	if err := k.p.tokens.wait(ctx); err != nil {
		return err
	}
	_, _, err := call(ctx, k.p, passfort.OpWhoAmI, k.p.opts.API.WhoAmI)
	return err
}

// await probes until the key is accepted, and reads it again each time.
func (k *keyCheck) await(ctx context.Context) {
	for n := 1; ; n++ {
		if retry.Sleep(ctx, k.p.retry.Backoff(n+2)) != nil {
			return
		}
		if err := k.p.opts.ReloadKey(); err != nil {
			k.p.log.Warn("reading the API key again failed; probing with the old one", "err", err)
		}
		if err := k.ask(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		k.p.Pause(decision.PausedAuth, false)
		k.p.log.Info("API key is accepted again", "pause", string(decision.PausedAuth))
		return
	}
}
