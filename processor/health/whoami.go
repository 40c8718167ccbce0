package health

import (
	"time"

	"verdict/internal/decision"
)

// whoami is asked about a failure after explainAfter, unless a completion explains it
// before; every askSick while a lane is paused; never within askApart, and by at most
// a twentieth of the rate, but at least once in askAtLeast.
const (
	explainAfter = time.Second
	askApart     = time.Second
	askSick      = 10 * time.Second
	askAtLeast   = 10 * time.Minute
	askShare     = 0.05
)

// whoami knows when to ask whoami, and what it answered.
type whoami struct {
	answered bool      // it has, if only with a failure
	asking   bool      // it is being asked
	askedAt  time.Time // when it was asked last
	failing  bool      // its latest answer was a failure, and no call worked since
	namedAt  time.Time // when it was asked last of the times that it named an identity
	badKeyAt time.Time // when it was asked last of the times that it refused the key

	first, last time.Time // failures of calls that nothing explains; zero: none
	urgent      bool      // one of them may be the key's
}

// want notes a failure that wants explaining.
func (w *whoami) want(now time.Time) {
	if w.first.IsZero() {
		w.first = now
	}
	w.last = now
}

// explain notes that the API worked at a time.
func (w *whoami) explain(at time.Time) {
	switch {
	case at.After(w.last):
		w.first, w.last, w.urgent = time.Time{}, time.Time{}, false
	case at.After(w.first):
		w.first = w.last
	}
}

// Suspect notes that the API refused a call as it would with a bad key. whoami is
// then asked as soon as it may be.
func (h *Health) Suspect(now time.Time) {
	h.whoami.want(now)
	h.whoami.urgent = true
}

// AskAt returns when to ask whoami, if calls a second may be made; ok is false where
// there is no need.
func (h *Health) AskAt(rate float64) (at time.Time, ok bool) {
	w := &h.whoami
	switch {
	case !h.asks || w.asking:
		return time.Time{}, false
	case !w.answered:
		return w.askedAt, true
	}
	apart := askAtLeast
	if rate*askShare*askAtLeast.Seconds() > 1 {
		apart = max(askApart, time.Duration(float64(time.Second)/(rate*askShare)))
	}
	if w.failing || h.AnyPaused() {
		at, ok = w.askedAt.Add(askSick), true
	}
	if explain := w.first.Add(explainAfter); !w.failing && !w.first.IsZero() && (!ok || explain.Before(at)) {
		at, ok = explain, true
	}
	if w.urgent {
		at, ok = w.askedAt, true
	}
	return later(at, w.askedAt.Add(apart)), ok
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Asking notes that whoami is being asked. One of Named, Unnamed, KeyRefused and
// Unasked follows.
func (h *Health) Asking(now time.Time) { h.whoami.asking, h.whoami.askedAt = true, now }

// Unasked notes that nothing is known of the call: it was throttled or given up.
func (h *Health) Unasked() { h.whoami.asking = false }

// Named notes that whoami named an identity. idle says which lanes have nothing to
// probe with; those resume, and the others may probe at once.
func (h *Health) Named(idle [len(decision.Lanes)]bool, now time.Time) (changes Changes) {
	w := &h.whoami
	w.answered, w.asking, w.failing, w.namedAt = true, false, false, w.askedAt
	w.explain(w.askedAt)
	for i := range h.lanes {
		switch l := &h.lanes[i]; {
		case l.phase == starting:
			l.resume(time.Time{}) // there was no pause
		case l.phase == paused && idle[i] && !l.probing:
			changes[i] = l.resume(now)
		default:
			l.hasten(now)
		}
	}
	return changes
}

// KeyRefused notes that whoami refused the key. That is a pause of its own, which
// does not end before Named.
func (h *Health) KeyRefused() { h.whoami.asking, h.whoami.badKeyAt = false, h.whoami.askedAt }

// KeyRefusedAfter reports whether whoami refused the key after a time: a refusal of that
// time may have been the key's fault.
func (h *Health) KeyRefusedAfter(at time.Time) bool { return h.whoami.badKeyAt.After(at) }

// Unnamed notes that whoami failed. It pauses the lanes whose latest call did not
// work. At the start, one call is made at once, since it outweighs whoami if it works.
func (h *Health) Unnamed(now time.Time) (changes Changes) {
	w := &h.whoami
	w.answered, w.asking, w.failing = true, false, true
	w.urgent = false
	for i := range h.lanes {
		switch l := &h.lanes[i]; {
		case l.phase == starting:
			changes[i] = l.pause(now)
			l.presumed = true
		case l.phase == going && (l.latest == Fails || l.latest == Refused):
			changes[i] = l.pause(now.Add(h.probeEvery()))
		}
	}
	return changes
}

// probeEvery returns the time between two probes of a lane.
func (h *Health) probeEvery() time.Duration {
	switch {
	case !h.asks:
		return probeUnknown
	case h.whoami.failing:
		return probeSick
	}
	return probeWell
}
