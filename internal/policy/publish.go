package policy

import (
	"context"
	"errors"

	"verdict/internal/decision"
	"verdict/internal/retry"
)

// publish publishes records, waits until Kafka has them all, and reports whether to
// go on.
func (w *worker) publish(out []outgoing) bool {
	if w.claim.Lost() {
		return false
	}
	type answer struct {
		index int
		err   error
	}
	// One place for every answer: the publisher must not block if this worker has
	// given up.
	answers := make(chan answer, len(out))
	send := func(i int) bool {
		return w.d.opts.Publisher.Publish(w.work, out[i].rec, func(err error) { answers <- answer{i, err} }) == nil
	}
	for i := range out {
		if !send(i) {
			return false
		}
	}
	for open := len(out); open > 0; {
		var a answer
		select {
		case a = <-answers:
		case <-w.work.Done():
			return false
		}
		switch o := &out[a.index]; {
		case a.err == nil:
			open--
			continue
		case !errors.Is(a.err, decision.ErrTooLarge):
			return false // the publisher was closed
		case o.deadLetter && o.rec.Value != nil:
			w.log.Warn("Kafka refuses a dead letter as too large; publishing it without its body (raise the topic's max.message.bytes)", "topic", o.rec.Topic, "bytes", o.rec.Size())
			o.rec = decision.WithoutValue(o.rec)
		default:
			// Decisions have about 1 KiB, so this is the topic's limit.
			w.log.Error("Kafka refuses even the smallest record as too large; the partition waits (raise the topic's max.message.bytes)", "topic", o.rec.Topic, "bytes", o.rec.Size())
			if retry.Sleep(w.work, tooLargePause) != nil || w.work.Err() != nil {
				return false
			}
		}
		if !send(a.index) {
			return false
		}
	}
	return true
}

// flush publishes the changes of the counts and reports whether to go on.
func (w *worker) flush() bool {
	w.setTasks(w.counts.Tasks())
	changes, err := w.counts.Changes()
	if err != nil {
		w.log.Error("counts can't be encoded", "err", err)
		return false
	}
	for batch := range batches(changes) {
		// Each attempt first checks that the partition is still this instance's.
		// Records sent at the moment of its loss are recognised by their number
		// (Counts.Restore, stateLog.write).
		if !w.try(w.work, "write the counts of the partition", func() error {
			if w.claim.Lost() {
				return errLost
			}
			return w.state.write(w.work, w.counts, batch)
		}) {
			return false
		}
	}
	return true
}

// try makes attempts until one succeeds and reports whether to go on.
func (w *worker) try(ctx context.Context, what string, attempt func() error) bool {
	for n := 1; ; n++ {
		err := attempt()
		switch {
		case err == nil:
			if n > 1 {
				w.log.Info("a Kafka request works again", "what", what)
			}
			return true
		case ctx.Err() != nil || errors.Is(err, errLost):
			return false
		case n == 1:
			w.log.Warn("a Kafka request fails; the partition waits", "what", what, "err", err)
		}
		if retry.Sleep(ctx, attempts.Backoff(n)) != nil || ctx.Err() != nil {
			return false
		}
	}
}
