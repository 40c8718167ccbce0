package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
)

// Submit takes a record over and decodes it; the decision is queued, or the
// record dead-lettered. before is how far the previous owner got. Submit waits
// while the lane is full, and while Decode waits. An error means that the record
// was not taken, because ctx ended.
func (p *Processor) Submit(ctx context.Context, lane decision.Lane, claim Claim, rec decision.Record, before decision.Progress) error {
	j := &job{claim: claim, rec: rec, size: int64(rec.Size()), received: time.Now(), Progress: before}
	j.Owner, j.Lane = j, lane
	if err := p.admit(ctx, j); err != nil {
		return err
	}
	return p.accept(ctx, j)
}

// accept decodes the record of a job that was admitted, and queues or parks its decision.
func (p *Processor) accept(ctx context.Context, j *job) error {
	p.opts.Tracing.begin(j)
	var err error
	if j.dec, err = p.decode(ctx, &j.rec); err != nil {
		if ctx.Err() != nil {
			p.do(func(m *machines, _ time.Time) { m.leave(j) }) // it may not even have been understood; its next owner will read it
			return ctx.Err()
		}
		p.settleAtOnce(ctx, j, refusal{reason: decision.InvalidEvent, err: err})
		return nil
	}
	j.Task, j.identity, j.run = j.dec.Task, j.dec.Identity(), runOf(&j.rec)
	var cancelled *refusal
	p.do(func(m *machines, _ time.Time) {
		if cancelled = m.cancelled(j); cancelled == nil {
			m.accept(j)
		}
	})
	if cancelled != nil {
		p.settleAtOnce(ctx, j, *cancelled)
	}
	return nil
}

// accept queues or parks a decision that was read.
func (m *machines) accept(j *job) {
	if j.hold.revoked || m.parks(j) {
		m.leave(j) // parked, or drained in the meantime; its next owner will read it
		return
	}
	j.spans.waits()
	j.group = m.groupOf(j)
	m.guard.Arrives(j.group, j.Task.ProfileID, j.received)
	m.queue.Add(&j.Item)
	j.hold.done()
	m.wants.review, m.wants.dispatch = true, true
}

// settleAtOnce dead-letters a record that is not a decision, or is gone.
func (p *Processor) settleAtOnce(ctx context.Context, j *job, r refusal) {
	defer func() { p.rescue(j, recover()) }()
	j.settleWith = func(ctx context.Context) { p.settler.deadLetter(ctx, j, r) }
	j.settleWith(ctx)
}

// decode is Options.Decode, where a panic is a fault of that record alone.
func (p *Processor) decode(ctx context.Context, rec *decision.Record) (d decision.Decision, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	return p.opts.Decode(ctx, rec)
}

// admit waits for room in the job's lane, and then counts the job. A job that was parked
// has a hold, which may be revoked meanwhile.
func (p *Processor) admit(ctx context.Context, j *job) error {
	for {
		var room <-chan struct{}
		var err error
		p.do(func(m *machines, _ time.Time) {
			// In the event: ctx ends before Drain begins, so a Submit that comes
			// after Drain finds it ended, and Drain sees one that came before.
			if err = ctx.Err(); err == nil {
				room, err = m.admit(j)
			}
		})
		if err != nil || room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// admit counts a job if its lane has room. If not, room is closed when it is worth trying
// again.
func (m *machines) admit(j *job) (room <-chan struct{}, err error) {
	h := j.hold
	if h == nil {
		h = m.claims.of(j.claim)
	} else if h.revoked {
		return nil, errRevoked
	}
	if room, ok := m.admission.enter(j); !ok {
		return room, nil
	}
	j.hold = h
	h.active++
	h.unsettled.add(j)
	return nil, nil
}

var errRevoked = errors.New("the partition is given up")

// leave forgets a job that was admitted: it is settled, or left to its next owner.
func (m *machines) leave(j *job) {
	j.spans.end()
	if j.reviewed {
		j.reviewed = false
		m.reviews.Leave(j.Task.ProfileID)
	}
	if j.inLine {
		j.inLine = false
		m.parking.Leave(j.line)
		// Without any that are parked nobody waits for the room.
		m.wants.park[j.Lane] = m.wants.park[j.Lane] || m.parking.Parked(j.Lane) > 0
	}
	m.admission.leave(j)
	j.hold.unsettled.remove(j)
	j.hold.done()
	m.wants.review = true
}
