package processor

import (
	"context"
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
	p.opts.Tracing.begin(j)
	var err error
	if j.dec, err = p.decode(ctx, &j.rec); err != nil {
		if ctx.Err() != nil {
			p.mu.Lock()
			p.leave(j) // it may not even have been understood; its next owner will read it
			p.mu.Unlock()
			return ctx.Err()
		}
		p.refuseInvalid(ctx, j, err)
		return nil
	}
	j.Task = j.dec.Task
	p.mu.Lock()
	if j.hold.revoked {
		p.leave(j) // drained in the meantime; its next owner will read it
		p.mu.Unlock()
		return nil
	}
	j.spans.waits()
	p.queue.Add(&j.Item)
	j.hold.done()
	p.nudgeReviewer()
	p.mu.Unlock()
	p.nudge()
	return nil
}

// refuseInvalid settles a record that is not a decision.
func (p *Processor) refuseInvalid(ctx context.Context, j *job, err error) {
	defer func() { p.rescue(j, recover()) }()
	j.settleWith = func(ctx context.Context) {
		p.settler.deadLetter(ctx, j, refusal{reason: decision.InvalidEvent, err: err})
	}
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

// admit waits for room in the job's lane, and then counts the job.
func (p *Processor) admit(ctx context.Context, j *job) error {
	for {
		p.mu.Lock()
		// Under the lock: ctx ends before Drain begins, so a Submit that comes
		// after Drain finds it ended, and Drain sees one that came before.
		if err := ctx.Err(); err != nil {
			p.mu.Unlock()
			return err
		}
		h := p.claims.of(j.claim)
		room, ok := p.admission.enter(j)
		if ok {
			j.hold = h
			h.active++
			h.unsettled.add(j)
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave forgets a job that was admitted: it is settled, or left to its next
// owner. Under mu.
func (p *Processor) leave(j *job) {
	j.spans.end()
	if j.reviewed {
		j.reviewed = false
		p.reviews.Leave(j.Task.ProfileID)
	}
	p.nudgeReviewer()
	p.admission.leave(j)
	j.hold.unsettled.remove(j)
	j.hold.done()
}
