package app

import (
	"errors"
	"sync/atomic"
)

// readiness answers /readyz and the metric verdict_ready. Both may be asked before
// there is a consumer.
type readiness struct {
	stopping atomic.Bool
	sources  atomic.Pointer[readySources] // nil until follow
}

// readySources report what readiness depends on.
type readySources struct{ joined, keyRefused func() bool }

// follow makes readiness depend on whether the group is joined and whether the API key
// is refused.
func (r *readiness) follow(joined, keyRefused func() bool) {
	r.sources.Store(&readySources{joined, keyRefused})
}

// stop makes the service not ready for the rest of its life.
func (r *readiness) stop() { r.stopping.Store(true) }

// err returns why the service is not ready, and nil if it is.
func (r *readiness) err() error {
	s := r.sources.Load()
	switch {
	case r.stopping.Load():
		return errors.New("stopping")
	case s == nil || !s.joined():
		return errors.New("not a member of the consumer group yet")
	case s.keyRefused():
		return errors.New("paused: the API key is refused")
	}
	return nil
}
