package processor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unique"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// maxParkedHeld bounds the decisions that are parked of a lane for more of them to be parked
// because they are held: about 60 MB. Beyond it they stay in memory, and fill their lane.
const maxParkedHeld = 100_000

// Obey takes over what people ordered. It replaces what they ordered before.
func (p *Processor) Obey(o ledger.Orders) {
	p.do(func(m *machines, now time.Time) { m.obey(o, now) })
}

// LedgerLost says whether the ledger is lost. Then backfill makes no calls: it is not known
// what people hold. What they were known to hold stays held.
func (p *Processor) LedgerLost(lost bool) {
	p.do(func(m *machines, _ time.Time) {
		m.ledgerLost = lost
		m.pauses.setLane(decision.Backfill, decision.LanePausedLedger, lost)
		m.wants.review, m.wants.dispatch = true, true
	})
}

// Resumed notes that people let go on what a key of the ledger names. That ends the guard's
// hold on it too, if there is one.
func (p *Processor) Resumed(key ledger.Key) {
	what, name, _ := strings.Cut(key.Name, "/")
	var groups []health.Group
	for _, lane := range decision.Lanes {
		switch {
		case what == "batch":
			groups = append(groups, health.Group{Lane: lane, Batch: name}, health.Group{Lane: lane, Batch: name, Named: true})
		case what == "lane" && name == lane.String():
			groups = append(groups, health.Group{Lane: lane})
		}
	}
	p.do(func(m *machines, now time.Time) {
		if what == "batch" {
			m.goesOn(name)
		}
		for _, of := range groups {
			if m.endHold(of, now) {
				m.say(func() {
					p.log.Info("somebody lets refused decisions go on", "pause", string(decision.LanePausedRefused), "lane", of.Lane.String(), "batch_id", of.Batch)
				})
			}
		}
	})
}

// obey follows new orders.
func (m *machines) obey(o ledger.Orders, now time.Time) {
	m.orders = o
	for _, lane := range decision.Lanes {
		m.pauses.setLane(lane, decision.LanePausedHeld, o.Lanes[lane])
	}
	m.removeCancelled()
	m.parkHeld()
	var held []*queue.Item
	m.queue.EachTried(func(i *queue.Item) {
		if jobOf(i).held {
			held = append(held, i)
		}
	})
	for _, i := range held {
		m.queue.Hasten(i, now)
	}
	m.parking.Recheck()
	for _, lane := range decision.Lanes {
		m.parkingChanged(lane)
	}
	m.wants.review, m.wants.dispatch, m.wants.ordered = true, true, true
}

// stopped reports whether no call may begin in a lane. Reviews of its profiles may.
func (m *machines) stopped(lane decision.Lane) bool {
	return m.orders.Lanes[lane] || lane == decision.Backfill && m.ledgerLost
}

// holds reports whether people hold a decision on a task, in a record that this run wrote.
func (m *machines) holds(run string, t decision.Task) bool {
	if m.orders.Tasks[t] || run == "" {
		return m.orders.Tasks[t]
	}
	batch := m.orders.BatchOf[run]
	return m.orders.Batches[batch].Held || m.stoppedItself(batch)
}

// mayOverwrite reports whether the decisions of a run may change a task that stands at the
// opposite state, and whether the ledger knows the run at all.
func (p *Processor) mayOverwrite(run string) (may, known bool) {
	if run == "" {
		return false, true
	}
	p.do(func(m *machines, _ time.Time) { may, known = m.orders.Overwrite[run], m.orders.BatchOf[run] != "" })
	return may, known
}

// runOf returns the run that wrote a record. All records of a run share one text.
func runOf(rec *decision.Record) string {
	if run := decision.RunOf(rec.Headers); run != "" {
		return unique.Make(run).Value()
	}
	return ""
}

// cancels reports whether a decision's batch was cancelled before the decision was begun.
func (m *machines) cancels(run string, at decision.Position, p decision.Progress) (batch string, yes bool) {
	if run == "" || p.Attempts > 0 || p.MaybeApplied {
		return "", false
	}
	batch, known := m.orders.BatchOf[run]
	return batch, known && at.Offset < m.orders.Batches[batch].Cancelled[at.Topic][at.Partition]
}

// cancelled returns how a decision ends if it was cancelled; nil: it goes on.
func (m *machines) cancelled(j *job) *refusal {
	batch, yes := m.cancels(j.run, j.rec.Origin(), j.Progress)
	if !yes || !j.untried() || j.settleWith != nil {
		return nil
	}
	text := fmt.Sprintf("its batch %s was cancelled", batch)
	if by := m.orders.By[batch]; by.Command == "cancel" {
		text += fmt.Sprintf(" by %s at %s", by.Actor, decision.Time{Time: by.At})
		if by.Why != "" {
			text += ": " + by.Why
		}
	}
	return &refusal{reason: decision.Cancelled, err: note(text)}
}

// removeCancelled takes what was cancelled out of the queue, for the orderer to settle.
func (m *machines) removeCancelled() {
	ends := func(i *queue.Item) bool { return m.cancelled(jobOf(i)) != nil }
	if !slices.ContainsFunc(slices.Collect(maps.Values(m.orders.Batches)), func(h ledger.Hold) bool { return h.Cancelled != nil }) {
		return
	}
	for _, i := range m.queue.Remove(ends) {
		j := jobOf(i)
		j.hold.active++ // until it is settled
		m.cancelling = append(m.cancelling, j)
	}
}

// orderer does what orders ask for that takes time, or comes with time.
type orderer struct{ p *Processor }

// run follows the rate that was ordered, and settles what was cancelled, until ctx ends.
func (o orderer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-o.p.ordered:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if ends := o.setRate(); ends > 0 {
			timer.Reset(ends)
		}
		for ctx.Err() == nil && o.settleCancelled(ctx) {
		}
	}
}

// setRate sets the rate of now. It returns for how long it is right; 0: until new orders.
func (o orderer) setRate() (ends time.Duration) {
	rate := o.p.opts.RateLimit
	o.p.do(func(m *machines, now time.Time) {
		ordered := m.orders.Rate
		if until := m.orders.RateUntil; !until.IsZero() {
			if ends = until.Sub(now); ends <= 0 {
				ordered, ends = 0, 0
			}
		}
		if ordered > 0 && (rate == 0 || ordered < rate) {
			rate = ordered
		}
	})
	o.p.tokens.setRate(rate)
	return ends
}

// settleCancelled settles one decision that was cancelled while it was queued. It reports
// whether there was one.
func (o orderer) settleCancelled(ctx context.Context) bool {
	var j *job
	var r *refusal
	o.p.do(func(m *machines, _ time.Time) {
		if len(m.cancelling) == 0 {
			return
		}
		j, m.cancelling = m.cancelling[0], m.cancelling[1:]
		r = m.cancelled(j)
	})
	if j == nil {
		return false
	}
	if r == nil { // the orders that said so are gone; it was not begun, and begins again
		r = &refusal{reason: decision.Cancelled, err: note("its batch was cancelled")}
	}
	o.p.settleAtOnce(ctx, j, *r)
	return true
}

// mayPark reports whether more of a lane may be parked because it is held.
func (m *machines) mayPark(lane decision.Lane) bool { return m.parking.Parked(lane) < maxParkedHeld }

// mustPark reports whether a decision in memory is held, or must not overtake one that is.
func (m *machines) mustPark(j *job) bool {
	if !j.inLine || j.settleWith != nil {
		return false
	}
	return m.parking.Follows(j.line, parkedOf(j)) || m.mayPark(j.Lane) && m.holds(j.run, j.Task)
}

// parkHeld parks what waits in the queue and is held, with all that must not overtake it.
func (m *machines) parkHeld() {
	if len(m.orders.Batches)+len(m.orders.Tasks) == 0 {
		return
	}
	from := make(fromArrival)
	m.queue.Each(func(i *queue.Item) {
		if j := jobOf(i); m.mustPark(j) {
			from.add(j)
		}
	})
	m.parkQueued(from)
}

// fromArrival says from which arrival on the decisions of lines are parked.
type fromArrival map[queue.Line]uint64

func (f fromArrival) add(j *job) {
	if at, ok := f[j.line]; !ok || j.Arrival < at {
		f[j.line] = j.Arrival
	}
}

// parkQueued parks what waits in the queue. What would come first once the held ones are being
// read again must be parked with them by then.
func (m *machines) parkQueued(from fromArrival) {
	if len(from) == 0 {
		return
	}
	for _, i := range m.queue.Remove(func(i *queue.Item) bool {
		j := jobOf(i)
		at, ok := from[j.line]
		return ok && j.inLine && j.settleWith == nil && j.Arrival >= at
	}) {
		j := jobOf(i)
		m.parking.Unload(j.line, parkedOf(j))
		j.hold.active++ // leave takes it back
		m.leave(j)
		m.wants.park[j.Lane] = true
	}
}

// parkTaken parks a decision that was taken, and what follows it.
func (m *machines) parkTaken(j *job) {
	from := make(fromArrival)
	from.add(j)
	m.parking.Unload(j.line, parkedOf(j))
	m.giveUp(j)
	m.parkQueued(from)
	m.parkingChanged(j.Lane)
}
