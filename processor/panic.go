package processor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"verdict/internal/decision"
)

// rescue, given what recover returns, is deferred around everything that is done about one decision outside
// of its call: by a worker, the dispatcher, a fetch loop or the publisher's
// goroutine. A panic there costs the decision an attempt, and nobody else
// anything. One that panics to its last attempt is dead-lettered; one whose dead
// letter panics too is tried again, at the pace of the longest back-off, until
// its partition goes elsewhere.
func (p *Processor) rescue(j *job, r any) {
	if r == nil {
		return
	}
	err := p.tellPanic(j, r)
	if j.profile != nil {
		p.dropLook(j)
		return
	}
	if j.gone {
		return // it is settled; what failed came after
	}
	p.opts.Metrics.Retries.WithLabelValues(string(decision.RetryPanic)).Inc()
	j.spans.published(err)
	j.spans.waits()
	j.panics++
	if j.instead == nil {
		// Its call may have been made, and its record may be on its way.
		j.Attempts, j.MaybeApplied = j.Attempts+1, true
		if j.Attempts >= p.opts.MaxAttempts {
			j.instead = func(ctx context.Context) {
				p.deadLetter(ctx, j, deadLetter{reason: decision.RetriesExhausted, err: err})
			}
		}
		p.noteAttempt(j)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case j.working:
		p.handBack(j)
	case j.settling:
		j.settling = false
		p.settling[j.lane]--
	}
	switch {
	case !j.hold.revoked:
		if j.task == nil {
			p.queue.adopt(j)
		}
		p.queue.delay(j, time.Now().Add(p.policy.Backoff(j.panics)))
		p.deactivate(j.hold)
	case j.task != nil:
		p.queue.done(j)
		p.leave(j)
	default:
		p.leave(j)
	}
	p.nudge()
}

// noteAttempt tells the claim, whose own panic must not undo a rescue.
func (p *Processor) noteAttempt(j *job) {
	defer func() {
		if r := recover(); r != nil {
			_ = p.tellPanic(j, r)
		}
	}()
	j.claim.Attempted(j.rec.Offset, j.Progress)
}

// tellPanic logs a panic with where it came from. It is called by the deferred
// function, while the stack is still there.
func (p *Processor) tellPanic(j *job, r any) error {
	err := panicked(r)
	p.log.Error("a decision made Verdict panic", "decision_id", j.dec.ID, "origin", j.rec.Origin().String(), "err", err, "stack", string(debug.Stack()))
	return err
}

func panicked(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", r)
}

// adopt makes a job that never was in the queue, because it could not be read
// as a decision (or is in it no more, because its task was not found), the one of a task of its own. No task of a decision's has such
// an ID.
func (q *queue) adopt(j *job) {
	q.seq++
	j.seq, j.delayed = q.seq, -1
	j.task = &task{key: decision.Task{TaskID: j.rec.Origin().String()}, ready: -1, begun: j}
	q.know(j.task)
}
