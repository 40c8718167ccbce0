package health

import (
	"math/bits"
	"time"
)

// A lane pauses when mostlyFailing of its last window calls failed. Those that failed
// before, and fail again, are not counted. Then it lets one call through every probeWell
// while whoami is good, every probeSick while it is not, and every probeUnknown where it
// can't be asked.
const (
	window        = 20
	mostlyFailing = 15

	probeWell    = time.Second
	probeSick    = 10 * time.Second
	probeUnknown = 5 * time.Second
)

// phase is what a lane does:
//
//	           whoami is good                     most first attempts fail, or
//	starting ──────────────────► going ◄─┐        a call and whoami fail
//	    │                          │     │
//	    │ whoami fails             ▼     │ a probe works, or the lane
//	    └───────────────────────► paused ┘ is idle and whoami is good
type phase uint8

const (
	starting phase = iota // whoami has not answered yet
	going
	paused
)

// lane is the health of a lane's calls.
type lane struct {
	phase    phase
	state    uint64    // counts changes, so that a call of an earlier state is recognised
	presumed bool      // none of its own calls failed; whoami did, at the start
	probing  bool      // the one probe is under way
	probeAt  time.Time // when the next probe may go, while paused
	last     uint32    // the last window calls that count, a bit each: 1 failed
	latest   Signal    // of the latest call that was not a probe
	goingAt  time.Time // when it was last paused and went on
}

func (l *lane) ready(now time.Time) (ok bool, again time.Duration) {
	switch {
	case l.phase == going:
		return true, 0
	case l.phase == starting, l.probing:
		return false, 0
	}
	again = max(l.probeAt.Sub(now), 0)
	return again == 0, again
}

// count notes one more call.
func (l *lane) count(failed bool) {
	l.last = l.last << 1 & (1<<window - 1)
	if failed {
		l.last |= 1
	}
}

func (l *lane) mostlyFails() bool { return bits.OnesCount32(l.last) >= mostlyFailing }

// pause lets only probes through, the first at probeAt.
func (l *lane) pause(probeAt time.Time) Change {
	l.phase, l.probeAt = paused, probeAt
	l.state++
	return Paused
}

// probed ends a probe. The next goes at probeAt, if it did not work.
func (l *lane) probed(s Signal, now, probeAt time.Time) Change {
	l.probing, l.probeAt = false, probeAt
	l.presumed = l.presumed && s != Fails
	if s == Works || s == Refused {
		return l.resume(now)
	}
	l.state++
	return None
}

func (l *lane) resume(now time.Time) Change {
	l.phase, l.presumed, l.last, l.latest, l.goingAt = going, false, 0, Neutral, now
	l.state++
	return Resumed
}

// hasten lets the next probe, if there is one, go by at.
func (l *lane) hasten(at time.Time) {
	if l.probeAt.After(at) {
		l.probeAt = at
	}
}
