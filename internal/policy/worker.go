package policy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"verdict/internal/decision"
	"verdict/internal/retry"
)

const (
	// maxBatch is the largest number of results that are counted before their
	// changes are published, and the number that may wait in the meantime.
	maxBatch = 256
	// tooLargePause is the wait before Kafka is sent again a record that it refused
	// as too large.
	tooLargePause = 5 * time.Second
)

// attempts is the wait between attempts to read or write counts.
var attempts = retry.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// errLost ends a worker whose partition may belong to another instance.
var errLost = errors.New("the partition is lost")

// worker counts the results of one partition for one generation of the group. It
// takes a batch of them at a time and, in this order,
//
//  1. counts them in memory,
//  2. publishes their decisions and dead letters, and waits until Kafka has them,
//  3. publishes the counts, and waits until Kafka has them,
//  4. settles the results, so that their offsets can be committed.
//
// The worker may end after any of these steps. Its Counts end with it, and the
// partition's next owner starts from the topics:
//
//   - before 3, the counts do not include the batch, which is read again and leads
//     to the same decisions with the same IDs;
//   - between 3 and 4, or before the commit, the batch is read again, and the
//     counts know its checks.
type worker struct {
	d         *Decider
	claim     Claim
	partition int
	log       *slog.Logger

	in     chan decision.Record // while it is full, Accept waits
	intake context.Context      // ends: start nothing more; ends no later than work
	stop   context.CancelFunc
	work   context.Context // ends: give up what is started
	abort  context.CancelFunc
	ready  chan struct{} // closed by run once the counts are restored
	ended  chan struct{} // closed by run when it returns

	// Only run uses the fields below.
	counts *Counts
	state  stateLog
	tasks  int // this worker's part of verdict_policy_tasks
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
	defer w.end()
	// Restoring starts nothing that must be finished, so it ends with intake.
	if !w.restore(w.intake) {
		return
	}
	close(w.ready)
	w.log.Info("counts restored", "tasks", w.counts.Tasks())
	sweep := time.NewTicker(w.d.opts.SweepEvery)
	defer sweep.Stop()
	w.counts.Expire(time.Now())
	for w.flush() {
		select {
		case <-w.intake.Done():
			return
		case <-sweep.C:
			w.counts.Expire(time.Now())
		case rec := <-w.in:
			if !w.decide(w.gather(rec)) {
				return
			}
		}
	}
}

// restore reads the counts from the topic and reports whether to go on.
func (w *worker) restore(ctx context.Context) bool {
	return w.try(ctx, "read the counts of the partition", func() (err error) {
		w.counts, err = w.state.restore(ctx, w.d.opts.Policies)
		return err
	})
}

// end ends the worker.
func (w *worker) end() {
	w.abort()
	w.setTasks(0)
	// In this order: a record that Accept queues now is released here, or by Accept
	// when it sees that the worker has ended.
	close(w.ended)
	w.release()
}

// release drops the records that wait in the queue.
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

// setTasks sets this worker's part of verdict_policy_tasks.
func (w *worker) setTasks(n int) {
	w.d.opts.Metrics.Tasks.Add(float64(n - w.tasks))
	w.tasks = n
}

// decide takes a batch through the four steps and reports whether to go on.
func (w *worker) decide(batch []decision.Record) bool {
	defer func() {
		for i := range batch {
			w.d.held.Release(w.d.weight(&batch[i]))
		}
	}()
	t, ok := w.countBatch(batch)
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
