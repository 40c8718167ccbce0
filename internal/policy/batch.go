package policy

import (
	"fmt"
	"runtime/debug"
	"time"

	"verdict/internal/decision"
	"verdict/metrics"
)

// gather returns a batch: a record and those that wait behind it in the queue.
func (w *worker) gather(first decision.Record) []decision.Record {
	batch := []decision.Record{first}
	for len(batch) < maxBatch {
		select {
		case rec := <-w.in:
			batch = append(batch, rec)
		default:
			return batch
		}
	}
	return batch
}

// tally is what a batch led to: the records to publish and, once the batch is
// settled, the metrics.
type tally struct {
	out       []outgoing
	effects   map[[2]string]int // by result and effect
	decisions map[decision.State]int
}

// outgoing is a record to be published.
type outgoing struct {
	rec        decision.Record
	deadLetter bool
}

// countBatch counts a batch and reports whether to go on. A record that makes
// Verdict panic becomes a dead letter and does not end the process. The panic may
// have left the counts in the middle of a change, so they are restored from the
// topic, and the batch is counted from its start.
func (w *worker) countBatch(batch []decision.Record) (tally, bool) {
	now := time.Now()
	broken := make(map[int]error) // by index in the batch
	for {
		t := tally{effects: make(map[[2]string]int), decisions: make(map[decision.State]int)}
		whole := true
		for i := range batch {
			rec := &batch[i]
			if err := broken[i]; err != nil {
				w.deadLetter(&t, rec, err, now)
			} else if err := w.count(&t, rec, now); err != nil {
				broken[i], whole = err, false
				break
			}
		}
		if whole {
			return t, true
		}
		if !w.restore(w.work) {
			return t, false
		}
	}
}

// count counts one record. It returns an error if that is impossible.
func (w *worker) count(t *tally, rec *decision.Record, now time.Time) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			w.log.Error("a check result made Verdict panic", "origin", rec.Origin().String(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	check, ok, err := w.d.decode(rec)
	if err != nil {
		w.deadLetter(t, rec, err, now)
		return nil
	}
	if !ok {
		t.effects[[2]string{metrics.PolicyOtherEvent, string(decision.EffectIgnored)}]++
		return nil
	}
	for i := range check.Tasks {
		effect, d := w.counts.Apply(&check, &check.Tasks[i], now)
		t.effects[[2]string{string(check.Result), string(effect)}]++
		if d == nil {
			continue
		}
		out, err := d.Encode(w.d.opts.Decisions)
		if err != nil {
			return err
		}
		t.out = append(t.out, outgoing{rec: out})
		t.decisions[d.State]++
		w.log.Debug("decided", "decision_id", d.ID, "profile_id", d.Task.ProfileID, "task_id", d.Task.TaskID,
			"state", string(d.State), "origin", rec.Origin().String())
	}
	return nil
}

// deadLetter adds a record that can't be read as a dead letter.
func (w *worker) deadLetter(t *tally, rec *decision.Record, err error, now time.Time) {
	letter := decision.DeadLetter{
		Reason: decision.InvalidEvent, Error: err.Error(),
		FailedAt: decision.Time{Time: now}, Instance: w.d.opts.Instance,
	}
	t.out = append(t.out, outgoing{letter.Encode(w.d.opts.DeadLetters, rec), true})
	t.effects[[2]string{metrics.PolicyUnreadable, metrics.PolicyDeadLettered}]++
}
