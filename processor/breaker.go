package processor

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// The breaker opens when half of the last 20 calls failed, and tries one call
// every 5 seconds until one succeeds.
const (
	breakerFailures = 10
	breakerCalls    = 20
	breakerDelay    = 5 * time.Second
)

// breaker tells an outage of the API from a decision that fails alone.
//
//	closed ──failures──► open ──delay──► probing ──success──► closed
//	                      ▲                 │
//	                      └─────failure─────┘
//
// A spell is the time from one opening to the next. Only results of calls that
// were let through in the present state count: one that was under way when the
// breaker opened says nothing about the probe.
type breaker struct {
	mu      sync.Mutex
	circuit circuitbreaker.CircuitBreaker[any]
	spell   uint64 // counts openings from closed, from 1
	turn    uint64 // counts changes of state
	probing bool   // the one probe is under way
}

func newBreaker() *breaker {
	return &breaker{
		spell: 1,
		circuit: circuitbreaker.NewBuilder[any]().
			WithFailureThresholdRatio(breakerFailures, breakerCalls).
			WithSuccessThreshold(1).
			WithDelay(breakerDelay).
			Build(),
	}
}

// permit is the right to make one call, to be given back with its result.
type permit struct {
	turn  uint64
	spell uint64 // in which the call is made
	probe bool
}

// ready says whether a call would be let through now; if not, in how long it is
// worth asking again (zero: when the probe that is under way has ended).
func (b *breaker) ready() (ok bool, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.circuit.IsClosed():
		return true, 0
	case b.probing:
		return false, 0
	}
	again = b.circuit.RemainingDelay()
	return again <= 0, again
}

// closed says whether there is no outage.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.circuit.IsClosed()
}

// acquire lets one call through, if ready still says so.
func (b *breaker) acquire() (permit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.circuit.IsClosed() {
		return permit{turn: b.turn, spell: b.spell}, true
	}
	if b.probing || !b.circuit.TryAcquirePermit() {
		return permit{}, false
	}
	b.probing = true
	b.turn++
	return permit{turn: b.turn, spell: b.spell, probe: true}, true
}

// stands says whether a call may still be made with a permit that was acquired
// some time ago.
func (b *breaker) stands(p permit) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.turn == b.turn || b.circuit.IsClosed()
}

// unused gives a permit back for which no call was made. Of a probe the turn
// remains: the next call that is made is the probe.
func (b *breaker) unused(p permit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !p.probe || p.turn != b.turn {
		return
	}
	b.probing = false
	b.turn++
	b.circuit.Open() // anew, since the permit of this half-open state is spent
	b.circuit.HalfOpen()
}

// change is what a result did to the breaker.
type change uint8

const (
	unchanged change = iota
	opened           // from closed: calls fail, perhaps of one cause
	confirmed        // a probe failed too: it is an outage
	closed           // a probe succeeded
)

// release gives a permit back with the call's result. neutral: the call says
// nothing about the API (429, cancelled); a probe that is neutral is made again.
func (b *breaker) release(p permit, failed, neutral bool) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.turn != b.turn {
		return unchanged
	}
	if p.probe {
		b.probing = false
		b.turn++
		switch {
		case neutral:
			b.circuit.Open()
			return unchanged
		case failed:
			b.circuit.RecordFailure()
			return confirmed
		default:
			b.circuit.RecordSuccess()
			return closed
		}
	}
	switch {
	case neutral:
	case failed:
		b.circuit.RecordFailure()
		if b.circuit.IsOpen() {
			b.turn++
			b.spell++
			return opened
		}
	default:
		b.circuit.RecordSuccess()
	}
	return unchanged
}
