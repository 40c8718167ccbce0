package processor

import (
	"math/rand/v2"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// mayCall reports whether a call could be made now, apart from its token. The API asks to
// wait until held. If no call could be made, again says in how long to ask again even if
// nothing changes (0: never).
func (m *machines) mayCall(held, now time.Time) (again time.Duration, ok bool) {
	again = m.ripen(held, now)
	if m.pauses.holdCalls() {
		return again, false
	}
	if _, ready := m.nextLane(now); ready {
		return 0, true
	}
	return m.nextProbe(now, again), false
}

// nextProbe returns in how long a probe of a lane with work is due, unless again
// comes first.
func (m *machines) nextProbe(now time.Time, again time.Duration) time.Duration {
	for _, lane := range decision.Lanes {
		if !m.waiting(lane) {
			continue
		}
		if ready, in := m.health.Ready(lane, now); !ready && in > 0 && (again == 0 || in < again) {
			again = in
		}
	}
	return again
}

// ripen makes ready what is due at now, and ends a hold that is over. It returns
// how long until the next of these; 0: none is known.
func (m *machines) ripen(held, now time.Time) (again time.Duration) {
	if m.pauses.on[decision.PausedThrottled] && !held.After(now) {
		m.pauses.set(decision.PausedThrottled, false)
	}
	for _, due := range [...]time.Time{m.probeHeld(now), m.queue.Ripen(now), m.reviews.Ripen(now), held} {
		if left := due.Sub(now); left > 0 && (again == 0 || left < again) {
			again = left
		}
	}
	return again
}

// nextLane returns the lane whose turn it is, if any call may begin: a worker is
// free, and so few finished calls wait for Kafka's acknowledgement or for their
// profile's review that a crash now would not repeat too much. At that bound only
// reviews may begin.
func (m *machines) nextLane(now time.Time) (decision.Lane, bool) {
	if m.load.inFlight[decision.Live]+m.load.inFlight[decision.Backfill] >= m.opts.Workers {
		return 0, false
	}
	backfill := m.mayBackfill()
	if all, _ := m.full(); all {
		for _, lane := range decision.Lanes {
			if m.reviews.Ready(lane) && (lane == decision.Live || backfill) && m.letsCall(lane, now) {
				return lane, true
			}
		}
		return 0, false
	}
	return m.share.Next(m.ready(decision.Live, now), backfill && m.ready(decision.Backfill, now))
}

// ready reports whether something in a lane can start.
func (m *machines) ready(lane decision.Lane, now time.Time) bool {
	return m.waiting(lane) && m.letsCall(lane, now)
}

// waiting reports whether something in a lane waits for nothing but a call.
func (m *machines) waiting(lane decision.Lane) bool {
	return m.queue.Ready(lane) && !m.stopped(lane) || m.reviews.Ready(lane)
}

// letsCall reports whether the lane's health lets a call through.
func (m *machines) letsCall(lane decision.Lane, now time.Time) bool {
	ok, _ := m.health.Ready(lane, now)
	return ok
}

// mayBackfill keeps a tenth of the workers, at least one, and a tenth of what may
// wait to be acknowledged, free of backfill, so that a live decision always finds
// room.
func (m *machines) mayBackfill() bool {
	kept := min(keptForLive(m.opts.Workers), m.opts.Workers-1)
	_, full := m.full()
	return m.load.inFlight[decision.Backfill] < m.opts.Workers-kept && (!full || m.reviews.Ready(decision.Backfill))
}

// maxHeldBytes bounds the API's answers in results that wait for a review, in
// bytes. An answer is usually about 1 KiB, but may be 1 MiB.
const maxHeldBytes = 32 << 20

// full reports whether the bound on decisions that are done and not acknowledged is
// reached: by both lanes together, or by backfill, which may not take the last
// tenth. Backfill's calls in flight count too, since they will be done soon.
func (m *machines) full() (all, backfill bool) {
	most := maxSettling(m.opts.Workers)
	liveHeld, liveBytes := m.reviews.Waiting(decision.Live)
	heldCount, heldBytes := m.reviews.Waiting(decision.Backfill)
	waiting := m.load.settling[decision.Backfill] + heldCount
	all = waiting+m.load.settling[decision.Live]+liveHeld >= most || heldBytes+liveBytes >= maxHeldBytes
	backfill = waiting+m.load.inFlight[decision.Backfill] >= most-keptForLive(most) || heldBytes >= maxHeldBytes-keptForLive(maxHeldBytes)
	return all, backfill
}

// maxSettling bounds the decisions whose call is done and whose result is not
// acknowledged yet. At its bound dispatching waits.
func maxSettling(workers int) int { return 4 * workers }

// keptForLive returns the part of a bound that backfill may not take.
func keptForLive(n int) int { return (n + 9) / 10 }

// begin takes the decision of a lane that goes next; nil: a review goes before
// it. A probe takes any decision that was never tried, if there is one, and else the
// one that was not tried for longest, so that bad decisions can't keep an outage up,
// even where there are many in a row.
func (m *machines) begin(lane decision.Lane, permit health.Permit) *job {
	if m.stopped(lane) {
		return nil
	}
	var i *queue.Item
	if permit.Probe {
		i = m.queue.TakeAny(lane, func(i *queue.Item) bool { return jobOf(i).untried() }, rand.IntN)
	}
	if i == nil {
		switch {
		case m.reviews.Ready(lane):
			return nil
		case permit.Probe:
			i = m.queue.TakeLeast(lane, func(i *queue.Item) time.Time { return jobOf(i).triedAt })
		default:
			i = m.queue.Take(lane)
		}
	}
	j := jobOf(i)
	j.spans.chosen()
	j.hold.active++
	m.load.startWork(j)
	return j
}

// giveBack returns a decision that was taken to the queue, ready when it is due. One that
// is being drained is left to its next owner.
func (m *machines) giveBack(j *job, due time.Time) {
	m.load.end(j)
	if j.hold.revoked {
		m.giveUp(j)
		return
	}
	m.queue.Delay(&j.Item, due)
	j.spans.waits()
	j.hold.done()
	m.wants.dispatch = true
}

// putBack is giveBack for a record that may never have been queued: it could not be read as
// a decision, or its task was not found.
func (m *machines) putBack(j *job, due time.Time) {
	if !j.Queued() && !j.hold.revoked {
		m.queue.Adopt(&j.Item, decision.Task{TaskID: j.origin()}) // no decision's task has such an ID
	}
	m.giveBack(j, due)
}

// giveUp forgets a decision that was taken: it is settled, or left to its next owner.
func (m *machines) giveUp(j *job) {
	m.load.end(j)
	if j.Queued() {
		m.queue.Done(&j.Item)
	}
	m.leave(j)
	m.wants.dispatch = true
}
