package app

import (
	"errors"
	"sync/atomic"
)

// health answers the admin server's /readyz, which is asked before all that it
// looks at is there.
type health struct {
	stopping atomic.Bool
	watched  atomic.Pointer[watched] // nil: not there yet
}

type watched struct{ joined, paused func() bool }

// watch sets what readiness depends on.
func (h *health) watch(joined, paused func() bool) { h.watched.Store(&watched{joined, paused}) }

func (h *health) ready() error {
	w := h.watched.Load()
	switch {
	case h.stopping.Load():
		return errors.New("stopping")
	case w == nil || !w.joined():
		return errors.New("not a member of the consumer group yet")
	case w.paused():
		return errors.New("paused: the API key is refused")
	}
	return nil
}
