package pacer

import (
	"math"
	"time"
)

// After a cut the rate returns to the one at which the API refused a call within
// plateau, ever more slowly, and then grows beyond it ever faster:
//
//	rate
//	                                      /
//	peak  ──┐ (429)        ______________/
//	        │        _____/
//	 low    └───────/
//	        cut              plateau           time
//
// So it stays close to what the API accepts, and finds a raised limit soon. This is
// the growth of CUBIC (RFC 9438).
const (
	plateau = 25 * time.Second
	cutBy   = 0.05 // of the accepted rate
	halveBy = 0.5  // of the present rate, where the accepted rate is not known or is less

	// recovery is the part of the configured rate by which the growth beyond the
	// plateau is steeper, so that it is reached five minutes after a cut, whatever
	// the rate was.
	recovery = 1.0 / 1331

	measured = 5 * time.Second // in which the accepted rate is measured
	shortest = time.Second     // time of acceptance that is enough for that
)

// learned is what is known of the API's allowance from the calls that it refused.
// The zero value is an API that refused none.
type learned struct {
	low, peak float64   // calls a second of the group; peak 0: it refused none
	since     time.Time // when the rate began to grow from low
	decided   time.Time // when the last cut was decided
	accepted  meter
}

// at returns the calls a second of the group at now, where configured are
// configured; +Inf: no limit is known.
func (l *learned) at(now time.Time, configured float64) float64 {
	if l.peak == 0 {
		return math.Inf(1)
	}
	x := max((now.Sub(l.since)-plateau).Seconds()/plateau.Seconds(), -1)
	step := l.peak - l.low
	if x > 0 {
		step = max(step, l.peak*cutBy)
		if !math.IsInf(configured, 1) {
			step += configured * recovery
		}
	}
	return l.peak + step*x*x*x
}

// accept notes a call that was not refused.
func (l *learned) accept(began, now time.Time) {
	if !began.Before(l.since) {
		l.accepted.add(now)
	}
}

func (l *learned) forgetAccepted() { l.accepted = meter{} }

// refuse notes a refused call, which cuts the rate: one that was made before the last cut
// was decided does not, nor one while the API accepted nothing since, which is then closed
// rather than slow. until is when calls go on, present the calls a second of the group,
// share this instance's part of them, and floor the calls a second that are always allowed.
func (l *learned) refuse(began, now, until time.Time, present, share, floor float64) {
	if l.peak > 0 && (l.accepted.first.IsZero() || began.Before(l.decided)) {
		return
	}
	accepted, known := l.accepted.rate(now)
	// Where few calls are wanted, few are accepted, which says nothing of the allowance.
	if known && share > 0 && accepted/share >= present*halveBy {
		l.peak = max(min(present, accepted/share), floor)
		l.low = max(l.peak*(1-cutBy), floor)
	} else {
		l.peak = max(present, floor)
		l.low = max(present*halveBy, floor)
	}
	l.decided, l.since = now, until
	l.accepted = meter{}
}

// meter counts events in slots of a tenth of a second.
type meter struct {
	slots [int(measured / slot)]int
	first time.Time // event; zero: there was none
	last  int64     // slot that was counted in last
}

const slot = 100 * time.Millisecond

func (m *meter) add(now time.Time) {
	at := now.UnixNano() / int64(slot)
	if m.first.IsZero() {
		m.first, m.last = now, at
	}
	m.turn(at)
	m.slots[at%int64(len(m.slots))]++
}

// turn clears the slots between the last one and at.
func (m *meter) turn(at int64) {
	for n := min(at-m.last, int64(len(m.slots))); n > 0; n-- {
		m.slots[(at-n+1)%int64(len(m.slots))] = 0
	}
	m.last = max(m.last, at)
}

// rate returns the events a second of the last seconds, and whether they were
// counted for long enough to tell.
func (m *meter) rate(now time.Time) (perSecond float64, known bool) {
	if m.first.IsZero() {
		return 0, false
	}
	m.turn(now.UnixNano() / int64(slot))
	sum := 0
	for _, n := range m.slots {
		sum += n
	}
	d := min(now.Sub(m.first), measured)
	return float64(sum) / max(d, slot).Seconds(), d >= shortest
}
