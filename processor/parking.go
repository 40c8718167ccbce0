package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/processor/queue"
)

// parkingShare is how many decisions of one task may be in memory, of a lane's
// maxPending.
func parkingShare(maxPending int) int { return max(1, min(64, maxPending/16)) }

// parked is what is kept of a decision beyond its task's share: enough to read its record
// again, and to say whose it was if the record is gone by then.
type parked struct {
	hold     *hold
	claim    Claim
	at       decision.Position
	identity decision.Identity
	before   decision.Progress
}

// parks keeps a decision out of memory if its task has its share there. Otherwise the
// decision counts as a part of it, until leave.
func (m *machines) parks(j *job) bool {
	of, park := m.parking.Arrive(j.Lane, j.Task)
	if !park {
		j.line, j.inLine = of, true
		return false
	}
	m.parking.Park(of, parked{j.hold, j.claim, j.rec.Origin(), j.identity, j.Progress})
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

// next brings back what the lane's next line has room for.
func (k parker) next(ctx context.Context, lane decision.Lane) bool {
	var of queue.Line
	var entries []parked
	var ok bool
	k.p.do(func(m *machines, _ time.Time) { of, entries, ok = m.parking.Next(lane) })
	if !ok {
		return false
	}
	for rest := entries; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].claim == rest[0].claim {
			n++
		}
		k.bringBack(ctx, of, rest[:n])
		rest = rest[n:]
	}
	k.p.do(func(m *machines, _ time.Time) {
		m.parking.Returned(of)
		m.parkingChanged(lane)
	})
	return true
}

// bringBack reads the records of decisions of one claim, and submits them once more.
func (k parker) bringBack(ctx context.Context, of queue.Line, entries []parked) {
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
			k.forget(of)
		case len(records) > 0 && records[0].Offset == e.at.Offset:
			k.submit(ctx, of, e, &records[0])
			records = records[1:]
		default:
			k.submit(ctx, of, e, nil)
		}
	}
}

// submit queues a decision that was read again. Without a record it is lost.
func (k parker) submit(ctx context.Context, of queue.Line, e parked, rec *decision.Record) {
	p := k.p
	j := &job{claim: e.claim, hold: e.hold, received: time.Now(), Progress: e.before, identity: e.identity, rec: decision.Record{Topic: e.at.Topic, Partition: e.at.Partition, Offset: e.at.Offset}}
	if rec != nil {
		j.rec, j.size = *rec, int64(rec.Size())
	}
	j.Owner, j.Lane, j.Task = j, of.Lane, of.Task
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

var errLost = errors.New("its record was deleted, by retention or compaction, while it waited for others of its task; send the decision again")

// forget counts a decision that does not come back.
func (k parker) forget(of queue.Line) {
	k.p.do(func(m *machines, _ time.Time) {
		m.parking.Leave(of)
		m.parkingChanged(of.Lane)
	})
}
