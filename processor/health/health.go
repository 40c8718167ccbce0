// Package health distinguishes an outage of the API from a decision that fails
// on its own. It is pure: no lock, no clock, no goroutine; the processor owns it
// and passes the time in.
//
// What a call's answer means is left to the processor's classify table; so is
// what to do while the breaker is open.
package health

import "time"

// The breaker opens when half of the last 20 calls failed. Then it lets one call
// through every 5 seconds until one succeeds.
const (
	failures = 10
	window   = 20

	// ProbeEvery is the time between two probes.
	ProbeEvery = 5 * time.Second
)

// Signal is what a call says about the API.
type Signal uint8

// The signals.
const (
	Neutral Signal = iota // nothing (a 429, a call that was given up); a probe is repeated
	Works                 // it answered, even if with a refusal
	Fails                 // it did not
)

// Change is what a call's signal changed.
type Change uint8

// The changes.
const (
	None      Change = iota
	Opened           // calls fail; it may be an outage or a few decisions
	Confirmed        // a probe failed too: it is an outage
	Closed           // a probe succeeded
)

// Breaker holds calls back during an outage:
//
//	closed ──Opened──► open ──ProbeEvery──► probing ──Closed──► closed
//	                    ▲                      │
//	                    └──────Confirmed───────┘
//
// Only signals of calls that were let through in the present state count: a call
// that was under way when the breaker opened says nothing about the probe.
type Breaker struct {
	open    bool
	probing bool      // the one probe is under way
	probeAt time.Time // when the next probe may go, while open
	state   uint64    // counts changes of state
	outages uint64    // counts openings, so that attempts spent before one can be told apart
	last    [window]Signal
	next    int // where in last the next signal goes
	failed  int // of last
}

// NewBreaker returns a closed Breaker.
func NewBreaker() *Breaker { return &Breaker{} }

// Permit is the right to make one call. It is given back by Release with the
// call's signal, or by Unused.
type Permit struct {
	state  uint64
	Outage uint64 // how many outages began before the call
	Probe  bool   // the call is the one that says whether an outage is over
}

// Ready reports whether a call would be let through at now. If not, again says
// how long to wait before asking again; 0: until the probe that is under way has
// ended.
func (b *Breaker) Ready(now time.Time) (ok bool, again time.Duration) {
	switch {
	case !b.open:
		return true, 0
	case b.probing:
		return false, 0
	}
	again = b.probeAt.Sub(now)
	return again <= 0, again
}

// Closed reports whether there is no outage.
func (b *Breaker) Closed() bool { return !b.open }

// Acquire lets one call through, if Ready says so.
func (b *Breaker) Acquire(now time.Time) (Permit, bool) {
	if !b.open {
		return Permit{state: b.state, Outage: b.outages}, true
	}
	if b.probing || now.Before(b.probeAt) {
		return Permit{}, false
	}
	b.probing = true
	b.state++
	return Permit{state: b.state, Outage: b.outages, Probe: true}, true
}

// Valid reports whether a call may still be made with a permit that was acquired
// some time ago.
func (b *Breaker) Valid(p Permit) bool { return !b.open || p.state == b.state }

// Unused gives back a permit for which no call was made. The next call is then
// the probe in its place.
func (b *Breaker) Unused(p Permit) {
	if p.Probe && p.state == b.state {
		b.probing = false
		b.state++
	}
}

// Release gives a permit back with the signal of its call.
func (b *Breaker) Release(p Permit, s Signal, now time.Time) Change {
	switch {
	case p.state != b.state:
		return None
	case p.Probe:
		return b.probed(s, now)
	case s == Neutral:
		return None
	}
	if b.last[b.next] == Fails {
		b.failed--
	}
	if s == Fails {
		b.failed++
	}
	b.last[b.next] = s
	b.next = (b.next + 1) % window
	if b.failed < failures {
		return None
	}
	b.open, b.probeAt = true, now.Add(ProbeEvery)
	b.last, b.next, b.failed = [window]Signal{}, 0, 0
	b.state++
	b.outages++
	return Opened
}

func (b *Breaker) probed(s Signal, now time.Time) Change {
	b.probing = false
	b.state++
	switch s {
	case Works:
		b.open = false
		return Closed
	case Fails:
		b.probeAt = now.Add(ProbeEvery)
		return Confirmed
	case Neutral:
		b.probeAt = now.Add(ProbeEvery)
	}
	return None
}
