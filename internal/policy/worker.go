package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"verdict/internal/decision"
	"verdict/metrics"
)

const (
	// maxBatch is how many results are counted before what they changed is
	// published, and how many may wait for it.
	maxBatch = 256
	// The wait before another attempt at what failed.
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// errLost ends a worker whose partition may belong to another instance.
var errLost = errors.New("the partition is lost")

// worker counts the results of one partition for one generation of the group. It
// takes some of them at a time, and for these, in this order,
//
//  1. counts them, in memory,
//  2. publishes their decisions and dead letters, and waits for Kafka to have them,
//  3. publishes the counts, and waits,
//  4. settles them, which lets their offsets be committed.
//
// Whatever ends it on the way ends its Ledger too, and the partition's next owner
// begins from what the topics say:
//
//   - before 3 the counts are those before the results, which are read again and
//     lead to the same decisions under the same IDs;
//   - between 3 and 4, or before the commit, the results are read again, and the
//     counts know their checks.
type worker struct {
	d         *Decider
	claim     Claim
	partition int
	log       *slog.Logger

	in     chan decision.Record // its full behaviour: Accept waits
	intake context.Context      // ends: begin nothing more; never later than work
	stop   context.CancelFunc
	work   context.Context // ends: give up what is begun
	abort  context.CancelFunc
	ready  chan struct{} // closed by run when the counts are restored
	ended  chan struct{} // closed by run

	// The rest belongs to run.
	ledger *Ledger
	state  stateLog
	shown  int // of verdict_policy_tasks, this worker's part
}

func newWorker(d *Decider, claim Claim, partition int) *worker {
	work, abort := context.WithCancel(context.Background())
	intake, stop := context.WithCancel(work)
	return &worker{
		d: d, claim: claim, partition: partition, log: d.opts.Logger.With("partition", partition),
		in:     make(chan decision.Record, maxBatch),
		intake: intake, stop: stop, work: work, abort: abort,
		ready: make(chan struct{}), ended: make(chan struct{}),
		state: stateLog{log: d.opts.Log, topic: d.opts.State, partition: partition},
	}
}

// run is the worker's goroutine.
func (w *worker) run() {
	defer w.leave()
	// To restore is to begin nothing yet.
	if !w.restore(w.intake) {
		return
	}
	close(w.ready)
	w.log.Info("counts restored", "tasks", w.ledger.Tasks())
	sweep := time.NewTicker(w.d.opts.SweepEvery)
	defer sweep.Stop()
	w.ledger.Expire(time.Now())
	for w.flush() {
		select {
		case <-w.intake.Done():
			return
		case <-sweep.C:
			w.ledger.Expire(time.Now())
		case rec := <-w.in:
			if !w.decide(w.gather(rec)) {
				return
			}
		}
	}
}

// restore makes the ledger what the topic says, and says whether to go on.
func (w *worker) restore(ctx context.Context) bool {
	return w.try(ctx, "read the counts of the partition", func() (err error) {
		w.ledger, err = w.state.restore(ctx, w.d.opts.Policies)
		return err
	})
}

// leave ends the worker.
func (w *worker) leave() {
	w.abort()
	w.show(0)
	// In this order, so that a record that Accept puts into the queue now is
	// released here, or by Accept, which then sees that the worker has ended.
	close(w.ended)
	w.release()
}

// release gives up what waits in the queue.
func (w *worker) release() {
	for {
		select {
		case rec := <-w.in:
			w.d.held.Release(w.d.weight(&rec))
		default:
			return
		}
	}
}

// show makes n this worker's part of the metric.
func (w *worker) show(n int) {
	w.d.opts.Metrics.Tasks.Add(float64(n - w.shown))
	w.shown = n
}

// gather is a record and those that wait behind it.
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

// tally is what a batch came to, to be published and, once settled, counted.
type tally struct {
	out       []outgoing
	effects   map[[2]string]int // result, effect
	decisions map[decision.State]int
}

// outgoing is a record to be published.
type outgoing struct {
	rec        decision.Record
	deadLetter bool
}

// decide takes a batch through the four steps, and says whether to go on.
func (w *worker) decide(batch []decision.Record) bool {
	defer func() {
		for i := range batch {
			w.d.held.Release(w.d.weight(&batch[i]))
		}
	}()
	t, ok := w.tally(batch)
	if !ok {
		return false
	}
	if !w.publish(t.out) || !w.flush() {
		return false
	}
	for i := range batch {
		w.claim.Settle(batch[i].Offset)
	}
	for labels, n := range t.effects {
		w.d.opts.Metrics.Results.WithLabelValues(labels[0], labels[1]).Add(float64(n))
	}
	for state, n := range t.decisions {
		w.d.opts.Metrics.Decisions.WithLabelValues(string(state)).Add(float64(n))
	}
	return true
}

// tally counts a batch, and says whether to go on. A record that makes this
// program panic is a dead letter and not the end of everybody's partitions; the
// counts, which the panic may have left in the middle of a change, are those of
// the topic again, and the batch is counted from its start.
func (w *worker) tally(batch []decision.Record) (tally, bool) {
	now := time.Now()
	broken := make(map[int]error) // by place in the batch
	for {
		t := tally{effects: make(map[[2]string]int), decisions: make(map[decision.State]int)}
		whole := true
		for i := range batch {
			rec := &batch[i]
			if err := broken[i]; err != nil {
				w.unreadable(&t, rec, err, now)
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

// count counts one record. The error is that it can't be done.
func (w *worker) count(t *tally, rec *decision.Record, now time.Time) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			w.log.Error("a check result made Verdict panic", "origin", rec.Origin().String(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	check, ok, err := w.d.decode(rec)
	if err != nil {
		w.unreadable(t, rec, err, now)
		return nil
	}
	if !ok {
		t.effects[[2]string{metrics.PolicyOtherEvent, string(decision.EffectIgnored)}]++
		return nil
	}
	for i := range check.Tasks {
		o := w.ledger.Apply(&check, &check.Tasks[i], now)
		t.effects[[2]string{string(check.Result), string(o.Effect)}]++
		if o.Decision == nil {
			continue
		}
		out, err := o.Decision.Record(w.d.opts.Decisions)
		if err != nil {
			return err
		}
		t.out = append(t.out, outgoing{rec: out})
		t.decisions[o.Decision.State]++
		w.log.Debug("decided", "decision_id", o.Decision.ID, "profile_id", o.Decision.Task.ProfileID, "task_id", o.Decision.Task.TaskID,
			"state", string(o.Decision.State), "origin", rec.Origin().String())
	}
	return nil
}

// unreadable makes a record a dead letter.
func (w *worker) unreadable(t *tally, rec *decision.Record, err error, now time.Time) {
	letter := decision.DeadLetter{
		Reason: decision.InvalidEvent, Error: err.Error(),
		FailedAt: decision.Time{Time: now}, Instance: w.d.opts.Instance,
	}
	t.out = append(t.out, outgoing{letter.Record(w.d.opts.DeadLetters, rec), true})
	t.effects[[2]string{metrics.PolicyUnreadable, metrics.PolicyDeadLettered}]++
}

// publish publishes records, and returns when Kafka has them all. It says whether
// to go on.
func (w *worker) publish(out []outgoing) bool {
	if w.claim.Lost() {
		return false
	}
	type answer struct {
		at  int
		err error
	}
	// Room for every answer: one that comes after this worker has given up
	// must not wait for it.
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
		switch o := &out[a.at]; {
		case a.err == nil:
			open--
			continue
		case !errors.Is(a.err, decision.ErrTooLarge):
			return false // the publisher was closed
		case o.deadLetter && o.rec.Value != nil:
			w.log.Warn("Kafka refuses a dead letter as too large; publishing it without its body (raise the topic's max.message.bytes)", "topic", o.rec.Topic, "bytes", o.rec.Size())
			o.rec = decision.WithoutValue(o.rec)
		default:
			// A decision has about a KiB.
			w.log.Error("Kafka refuses even the smallest record as too large; the partition waits (raise the topic's max.message.bytes)", "topic", o.rec.Topic, "bytes", o.rec.Size())
			if !sleep(w.work, longPause) {
				return false
			}
		}
		if !send(a.at) {
			return false
		}
	}
	return true
}

// flush publishes what the ledger changed, and says whether to go on.
func (w *worker) flush() bool {
	w.show(w.ledger.Tasks())
	changes, err := w.ledger.Changes()
	if err != nil {
		w.log.Error("counts can't be written", "err", err)
		return false
	}
	for batch := range batches(changes) {
		// Each attempt asks first whether the partition is still this
		// instance's. What is sent all the same in the moment of its loss is
		// recognised by its number (Ledger.Restore, stateLog.write).
		if !w.try(w.work, "write the counts of the partition", func() error {
			if w.claim.Lost() {
				return errLost
			}
			return w.state.write(w.work, w.ledger, batch)
		}) {
			return false
		}
	}
	return true
}

// try makes attempts until one succeeds, and says whether to go on.
func (w *worker) try(ctx context.Context, what string, attempt func() error) bool {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := attempt()
		switch {
		case err == nil:
			if pause > firstPause {
				w.log.Info("works again", "what", what)
			}
			return true
		case ctx.Err() != nil || errors.Is(err, errLost):
			return false
		case pause == firstPause:
			w.log.Warn("Kafka does not answer as it should; the partition waits", "what", what, "err", err)
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// sleep waits for d and says whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
