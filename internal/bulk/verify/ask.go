package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/retry"
)

const (
	// minAttempts and patience bound the calls for one task that fail in ways that pass: so
	// many at least, and so long since the first. Patience also bounds how long calls are
	// throttled without one that is answered.
	minAttempts = 8
	patience    = 10 * time.Minute
)

var backoff = retry.Policy{Min: time.Second, Max: time.Minute}

// asker asks the API for tasks, from several goroutines, within one rate.
type asker struct {
	api     *passfort.Client
	limiter *rate.Limiter
	log     *slog.Logger
	calls   atomic.Int64

	mu       sync.Mutex // for what follows
	until    time.Time  // no call before
	answered time.Time  // when the API last answered with sense
}

// answer is what the API says of a task.
type answer struct {
	state      decision.State
	gone       bool
	unreadable string // why; empty: it is not
	refused    bool   // unreadable, because the API refuses it
	at         time.Time
}

// keyError reports that the API refuses the key.
type keyError struct{ of *passfort.Error }

func (e *keyError) Error() string {
	return fmt.Sprintf("the API refuses the key (%s); correct api.key or api.key_file", e.of.Summary())
}

func (e *keyError) Unwrap() error { return e.of }

// ask asks for a task until the answer says something about it.
func (a *asker) ask(ctx context.Context, task decision.Task) (answer, error) {
	var first time.Time // failure
	for failures, throttled := 0, 0; ; {
		if err := a.turn(ctx); err != nil {
			return answer{}, err
		}
		found, response, err := a.api.GetTask(ctx, task.ProfileID, task.TaskID)
		now := time.Now()
		if err == nil {
			a.worked(now)
			return answer{state: found.State, at: now}, nil
		}
		failed, ok := errors.AsType[*passfort.Error](err)
		if !ok {
			return answer{}, err
		}
		if first.IsZero() {
			first = now
		}
		wait := failed.RetryAfter
		switch failed.Kind {
		case passfort.KindNotFound:
			a.worked(now)
			return answer{gone: true, at: now}, nil
		case passfort.KindRejected, passfort.KindInvalid:
			a.worked(now)
			return answer{unreadable: failed.Summary(), refused: true, at: now}, nil
		case passfort.KindKey:
			if !forbidden(failed) {
				return answer{}, &keyError{failed}
			}
			return answer{unreadable: failed.Summary(), refused: true, at: now}, nil
		case passfort.KindCanceled:
			return answer{}, cmp.Or(context.Cause(ctx), err)
		case passfort.KindThrottled:
			throttled++
			if now.Sub(first) >= patience && !a.workedSince(first) {
				return answer{}, fmt.Errorf("the API has throttled every call for %v; try again later, or with a lower --rate", now.Sub(first).Round(time.Second))
			}
			if wait = response.Rate.RetryAfter; wait == 0 {
				wait = backoff.Backoff(throttled)
			}
			a.hold(now.Add(wait))
			continue
		case passfort.KindTimeout, passfort.KindConnection, passfort.KindServer, passfort.KindForeign, passfort.KindUnconfirmed:
			failures++
		}
		if failures >= minAttempts && now.Sub(first) >= patience {
			if !a.workedSince(first) && a.whoami(ctx) != nil {
				return answer{}, fmt.Errorf("the API has failed for %v (%s)", now.Sub(first).Round(time.Second), failed.Summary())
			}
			return answer{unreadable: failed.Summary(), at: now}, nil
		}
		if failures == minAttempts {
			a.log.Warn("the API keeps failing for a task", "profile_id", task.ProfileID, "task_id", task.TaskID, "err", failed)
		}
		if err := retry.Sleep(ctx, max(wait, backoff.Backoff(failures))); err != nil {
			return answer{}, err
		}
	}
}

// forbidden reports whether a refusal is of the task and not of the key, as far as one
// answer says. Code 204 is the API's for a key that it does not know.
func forbidden(e *passfort.Error) bool {
	const invalidKey = 204
	return e.Status == http.StatusForbidden && !e.Foreign && !slices.Contains(e.Codes, invalidKey)
}

// turn waits until the next call may go, and counts it.
func (a *asker) turn(ctx context.Context) error {
	for {
		if err := retry.Sleep(ctx, a.limiter.Reserve().Delay()); err != nil {
			return err
		}
		a.mu.Lock()
		wait := time.Until(a.until)
		a.mu.Unlock()
		if wait <= 0 {
			a.calls.Add(1)
			return nil
		}
		if err := retry.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// whoami asks whether the API works.
func (a *asker) whoami(ctx context.Context) error {
	if err := a.turn(ctx); err != nil {
		return err
	}
	_, _, err := a.api.WhoAmI(ctx)
	return err
}

// hold keeps all calls back.
func (a *asker) hold(until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until.After(a.until) {
		a.until = until
	}
}

func (a *asker) worked(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered = at
}

func (a *asker) workedSince(t time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered.After(t)
}
