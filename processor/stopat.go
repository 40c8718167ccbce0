package processor

import "verdict/internal/decision"

// stopAfter is how many decisions of a batch must have ended here before it can stop by
// itself.
const stopAfter = 100

// Stop says that a batch is held because too many of its decisions were dead-lettered.
type Stop struct {
	Batch        string
	Settled      int // decisions of it that ended here, dead letters included
	DeadLettered int
	At           float64 // the share that it was to stop at
}

// ended counts how the decisions of a batch ended, on this instance.
type ended struct {
	settled, deadLettered int
	stopped               bool // until people let it go on
}

// stopsAt counts a decision that ended. If its batch is to stop now, it is held here at once,
// and the whole group is asked to hold it.
func (m *machines) stopsAt(j *job, e *ending) {
	batch := m.orders.BatchOf[j.run]
	at := m.orders.StopAt[batch]
	if j.run == "" || at == 0 || e.reason == decision.Cancelled {
		return
	}
	if m.ended == nil {
		m.ended = make(map[string]*ended)
	}
	n := m.ended[batch]
	if n == nil {
		n = &ended{}
		m.ended[batch] = n
	}
	n.settled++
	if e.reason != "" {
		n.deadLettered++
	}
	if n.stopped || n.settled < stopAfter || float64(n.deadLettered) <= at*float64(n.settled) {
		return
	}
	n.stopped = true
	if tell := m.opts.Stopped; tell != nil {
		stop := Stop{Batch: batch, Settled: n.settled, DeadLettered: n.deadLettered, At: at}
		m.say(func() { tell(stop) })
	}
}

// stoppedItself reports whether a batch has stopped by itself.
func (m *machines) stoppedItself(batch string) bool {
	n := m.ended[batch]
	return n != nil && n.stopped
}

// goesOn lets a batch go on that has stopped by itself. It is judged by what ends from now on.
func (m *machines) goesOn(batch string) { delete(m.ended, batch) }
