package processor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"verdict/internal/decision"
)

// rescue takes what recover returned. It is deferred around all handling of a
// decision outside its call: by a worker, the dispatcher, a fetch loop or the
// publisher. A panic there costs the decision an attempt and affects no other
// decision. A decision that panics until its last attempt is dead-lettered. One
// whose dead letter panics too is tried again, at the pace of the longest
// back-off, until its partition moves to another instance.
func (p *Processor) rescue(j *job, r any) {
	if r == nil {
		return
	}
	err := p.logPanic(j, r)
	if j.gone {
		return // it is settled; what failed came after
	}
	p.countRetry(decision.RetryPanic)
	j.spans.published(err)
	j.panics++
	if j.settleWith == nil {
		// Its call may have been made, and its record may be on its way.
		j.Attempts, j.MaybeApplied = j.Attempts+1, true
		if j.Attempts >= p.opts.MaxAttempts {
			j.settleWith = func(ctx context.Context) {
				p.settler.deadLetter(ctx, j, refusal{reason: decision.RetriesExhausted, err: err})
			}
		}
		p.noteAttempt(j)
	}
	p.do(func(m *machines, now time.Time) {
		m.putBack(j, now.Add(p.retry.Backoff(j.panics)))
	})
}

// noteAttempt reports the attempt to the claim. A panic of the claim must not
// undo the rescue.
func (p *Processor) noteAttempt(j *job) {
	defer func() {
		if r := recover(); r != nil {
			_ = p.logPanic(j, r)
		}
	}()
	j.claim.Attempted(j.rec.Offset, j.Progress)
}

// logPanic logs a panic with its stack, and returns it as an error. It is called
// by the deferred function, while the stack is still there.
func (p *Processor) logPanic(j *job, r any) error {
	err := panicError(r)
	p.log.Error("a decision made Verdict panic", "decision_id", j.dec.ID, "origin", j.origin(), "err", err, "stack", string(debug.Stack()))
	return err
}

func panicError(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", r)
}
