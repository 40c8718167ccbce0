package processor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"verdict/internal/decision"
	"verdict/processor/queue"
)

// parkingShare is how many decisions of one task may be in memory, of a lane's
// maxPending.
func parkingShare(maxPending int) int { return max(1, min(64, maxPending/16)) }

// parked is what is kept of a decision beyond its task's share, or that is held: enough to read its record
// again, and to say whose it was if the record is gone by then.
type parked struct {
	hold     *hold
	claim    Claim
	at       decision.Position
	identity decision.Identity
	before   decision.Progress
	arrival  uint64        // see queue.Item
	run      string        // that wrote the record
	task     decision.Task // that it is about, as far as it was known
}

func parkedOf(j *job) parked {
	return parked{j.hold, j.claim, j.rec.Origin(), j.identity, j.Progress, j.Arrival, j.run, j.Task}
}

func (e parked) arrivedBefore(other parked) bool { return e.arrival < other.arrival }

// waits reports whether people hold a decision that is parked.
func (m *machines) waits(e parked) bool {
	if !m.holds(e.run, e.task) {
		return false
	}
	_, cancelled := m.cancels(e.run, e.at, e.before)
	return !cancelled
}

// parks keeps a decision out of memory if its task has its share there, or if people hold
// it. Otherwise the decision counts as a part of it, until leave. One that was parked before
// counts already.
func (m *machines) parks(j *job) bool {
	if !j.inLine {
		j.Arrival = m.queue.Arrive()
		of, park := m.parking.Arrive(j.Lane, j.Task)
		if park {
			m.parking.Park(of, parkedOf(j))
			m.parkingChanged(j.Lane)
			return true
		}
		j.line, j.inLine = of, true
	}
	if !m.mustPark(j) {
		return false
	}
	m.parking.Unload(j.line, parkedOf(j))
	m.parkingChanged(j.Lane)
	return true
}

// parkingChanged shows how many decisions are parked, and lets the lane's parker look.
func (m *machines) parkingChanged(lane decision.Lane) {
	m.opts.Metrics.Parked.WithLabelValues(lane.String()).Set(float64(m.parking.Parked(lane)))
	m.wants.park[lane] = true
}

// parker brings parked decisions back when their task has room for them, one goroutine
// for each lane.
type parker struct{ p *Processor }

// run brings back decisions of a lane until ctx ends.
func (k parker) run(ctx context.Context, lane decision.Lane) {
	for {
		select {
		case <-k.p.park[lane]:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil && k.next(ctx, lane) {
		}
	}
}

// maxReturning is how many decisions are brought back at once, of as many lines as have so
// many: those that are near each other in their partition are read together.
const maxReturning = 256

// returning is a parked decision that is brought back.
type returning struct {
	parked
	of queue.Line
}

// next brings back what the lane's next lines have room for.
func (k parker) next(ctx context.Context, lane decision.Lane) bool {
	var lines []queue.Line
	claims := make(map[Claim][]returning)
	k.p.do(func(m *machines, _ time.Time) {
		for n := 0; n < maxReturning; {
			of, entries, ok := m.parking.Next(lane)
			if !ok {
				return
			}
			lines, n = append(lines, of), n+len(entries)
			for _, e := range entries {
				claims[e.claim] = append(claims[e.claim], returning{e, of})
			}
		}
	})
	if len(lines) == 0 {
		return false
	}
	for _, entries := range claims {
		slices.SortFunc(entries, func(a, b returning) int { return cmp.Compare(a.at.Offset, b.at.Offset) })
		k.bringBack(ctx, entries)
	}
	k.p.do(func(m *machines, _ time.Time) {
		for _, of := range lines {
			m.parking.Returned(of)
		}
		m.parkingChanged(lane)
	})
	return true
}

// bringBack reads the records of decisions of one claim, and submits them once more.
func (k parker) bringBack(ctx context.Context, entries []returning) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(entries[0].hold.ctx, cancel)()
	offsets := make([]int64, len(entries))
	for i, e := range entries {
		offsets[i] = e.at.Offset
	}
	records, err := entries[0].claim.Fetch(ctx, offsets)
	for _, e := range entries {
		switch {
		case err != nil: // the claim is lost, or the process ends
			k.forget(e.of)
		case len(records) > 0 && records[0].Offset == e.at.Offset:
			k.submit(ctx, e.of, e.parked, &records[0])
			records = records[1:]
		default:
			k.submit(ctx, e.of, e.parked, nil)
		}
	}
}

// submit queues a decision that was read again. Without a record it is lost.
func (k parker) submit(ctx context.Context, of queue.Line, e parked, rec *decision.Record) {
	p := k.p
	j := &job{claim: e.claim, hold: e.hold, received: time.Now(), Progress: e.before, identity: e.identity, run: e.run, rec: decision.Record{Topic: e.at.Topic, Partition: e.at.Partition, Offset: e.at.Offset}}
	if rec != nil {
		j.rec, j.size = *rec, int64(rec.Size())
	}
	j.Owner, j.Lane, j.Task, j.Arrival = j, of.Lane, of.Task, e.arrival
	if p.admit(ctx, j) != nil {
		k.forget(of)
		return
	}
	j.line, j.inLine = of, true
	if rec == nil {
		p.settleAtOnce(ctx, j, refusal{reason: decision.Lost, err: errLost})
		return
	}
	_ = p.accept(ctx, j) // the error is that of ctx; the job has left then
}

var errLost = errors.New("its record was deleted, by retention or compaction, while it waited for others of its task or was held; send the decision again")

// forget counts a decision that does not come back.
func (k parker) forget(of queue.Line) {
	k.p.do(func(m *machines, _ time.Time) {
		m.parking.Leave(of)
		m.parkingChanged(of.Lane)
	})
}
