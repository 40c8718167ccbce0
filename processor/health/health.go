// Package health says whether the API works, and whose fault a failure is. It is
// pure: no lock, no clock, no goroutine, no metric; the processor owns it and
// passes the time in. What a call's answer means is left to the processor's
// classify table, and so is what to do with a decision that is to blame.
//
// Health has a lane for each lane of decisions, which fail apart, and keeps the
// evidence: the latest completions, and the latest answers of whoami. These are its
// invariants:
//
//   - A lane that is paused lets one call through at a time, the probe, and resumes
//     when one works.
//   - Decisions that were tried before can't pause a lane by failing again, however
//     often they do, as long as whoami works.
//   - While a lane is paused, or a failure lacks evidence, whoami is asked within
//     bounded time, so that a pause always ends once the API works.
//   - Evidence for a task never comes from that task.
//
// Guard is a machine of its own: it holds a batch, or what has no batch in a lane,
// when all its decisions are refused.
package health

import (
	"time"

	"verdict/internal/decision"
)

// Signal is what a call says about the API.
type Signal uint8

// The signals.
const (
	Neutral Signal = iota // nothing: a 429, a call that was given up
	Works                 // it did what was asked
	Refused               // it answered, with a refusal
	Fails                 // it did not answer, or something else did
)

// Change is what happened to a lane.
type Change uint8

// The changes.
const (
	None Change = iota
	Paused
	Resumed
)

// Changes has the change of each lane.
type Changes [len(decision.Lanes)]Change

// Permit is the right to make one call. It is given back by Release with the
// call's signal, or by Unused.
type Permit struct {
	Probe bool // the call says whether a pause is over
	lane  decision.Lane
	state uint64
}

// Health knows how the API does.
type Health struct {
	asks   bool // whoami can be asked
	lanes  [len(decision.Lanes)]lane
	whoami whoami
	done   completions
}

// New returns a Health. asks says that the API has whoami: then no call goes before it
// was asked.
func New(asks bool) *Health {
	h := &Health{asks: asks}
	for i := range h.lanes {
		if !asks {
			h.lanes[i].phase = going
		}
	}
	return h
}

// Ready reports whether a call of a lane would be let through at now. If not, again
// says how long to wait before asking again; 0: until something changes.
func (h *Health) Ready(lane decision.Lane, now time.Time) (ok bool, again time.Duration) {
	return h.lanes[lane].ready(now)
}

// Acquire lets one call of a lane through, if Ready says so.
func (h *Health) Acquire(lane decision.Lane, now time.Time) (Permit, bool) {
	l := &h.lanes[lane]
	if ok, _ := l.ready(now); !ok {
		return Permit{}, false
	}
	if l.phase == paused {
		l.probing = true
		l.state++
	}
	return Permit{Probe: l.phase == paused, lane: lane, state: l.state}, true
}

// Valid reports whether a call may still be made with a permit that was acquired
// some time ago.
func (h *Health) Valid(p Permit) bool { return h.lanes[p.lane].state == p.state }

// Unused gives back a permit for which no call was made. The next call is then the
// probe in its place.
func (h *Health) Unused(p Permit) {
	if l := &h.lanes[p.lane]; p.Probe && p.state == l.state {
		l.probing = false
		l.state++
	}
}

// Release gives a permit back with the signal of its call. first says that it was
// the first attempt at its decision.
func (h *Health) Release(p Permit, s Signal, first bool, now time.Time) (changes Changes) {
	switch s {
	case Works:
		changes = h.works(now)
	case Refused, Fails:
		if !p.Probe { // in a pause whoami is asked anyway
			h.whoami.want(now)
		}
	case Neutral:
	}
	l := &h.lanes[p.lane]
	switch {
	case p.state != l.state: // it began before the lane paused or resumed
		return changes
	case p.Probe:
		changes[p.lane] = l.probed(h.counts(s), now, now.Add(h.probeEvery()))
		return changes
	case s == Neutral:
		return changes
	}
	l.latest = s
	if failed := h.counts(s) == Fails; first || !failed {
		l.count(failed)
	}
	if l.mostlyFails() || h.whoami.failing { // a call that works has just ended that
		changes[p.lane] = l.pause(now.Add(h.probeEvery()))
	}
	return changes
}

// counts returns what a signal says at present: a refusal is the API's own answer,
// unless whoami fails too.
func (h *Health) counts(s Signal) Signal {
	if s == Refused && h.whoami.failing {
		return Fails
	}
	return s
}

// works notes a call that worked, which outweighs a failure of whoami.
func (h *Health) works(now time.Time) (changes Changes) {
	if !h.whoami.failing {
		return changes
	}
	h.whoami.failing = false
	for i := range h.lanes {
		l := &h.lanes[i]
		if l.presumed && !l.probing {
			changes[i] = l.resume(now)
		}
		l.hasten(now.Add(probeWell))
	}
	return changes
}

// GoingSince returns when a lane's latest pause ended; zero: it had none.
func (h *Health) GoingSince(lane decision.Lane) time.Time { return h.lanes[lane].goingAt }

// Paused reports whether a lane is paused.
func (h *Health) Paused(lane decision.Lane) bool { return h.lanes[lane].phase == paused }

// AnyPaused reports whether any lane is paused.
func (h *Health) AnyPaused() bool {
	for i := range h.lanes {
		if h.lanes[i].phase == paused {
			return true
		}
	}
	return false
}

// Completes notes that a call which began at began completed a task.
func (h *Health) Completes(task decision.Task, began time.Time) {
	h.done.add(task, began)
	h.whoami.explain(began)
}

// Evidence is how well the API was seen working.
type Evidence uint8

// The kinds of evidence, from the weakest to the strongest.
const (
	NoEvidence Evidence = iota
	Identified          // whoami named an identity
	Completed           // another task was completed
)

// Evidence returns the best evidence, for a decision on a task, that the API worked
// after since.
func (h *Health) Evidence(task decision.Task, since time.Time) Evidence {
	switch {
	case h.done.another(task, since):
		return Completed
	case h.whoami.namedAt.After(since):
		return Identified
	}
	return NoEvidence
}

// completions keeps the latest completion, and the latest of another task.
type completions struct{ latest, other completion }

type completion struct {
	task  decision.Task
	began time.Time
}

func (c *completions) add(task decision.Task, began time.Time) {
	this := completion{task, began}
	switch {
	case task == c.latest.task:
		if began.After(c.latest.began) {
			c.latest = this
		}
	case began.After(c.latest.began):
		c.latest, c.other = this, c.latest
	case began.After(c.other.began):
		c.other = this
	}
}

// another reports whether a task other than this one was completed by a call that
// began after since.
func (c *completions) another(task decision.Task, since time.Time) bool {
	best := c.latest
	if best.task == task {
		best = c.other
	}
	return best.began.After(since)
}
