package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"verdict/internal/bulk/follow"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

const (
	// workers is the number of calls in flight at most.
	workers = 4
	// ahead is how many tasks may be asked for beyond one that has no answer yet.
	ahead = 64
	// checkpointEvery is the time between two checkpoints.
	checkpointEvery = 10 * time.Second
	// maxRefused is the number of tasks in a row, none of them shown, after which the key
	// is taken to lack the right.
	maxRefused = 20
)

// Verify verifies a batch, from where an interrupted run left it. If it ends early, it
// returns what it knows, and leaves a checkpoint.
func Verify(ctx context.Context, o Options) (Summary, error) {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Difference == nil {
		o.Difference = func(Difference) error { return nil }
	}
	from, err := readCheckpoint(&o)
	if err != nil {
		return Summary{}, err
	}
	expected, err := newExpectations(o.TempDir)
	if err != nil {
		return Summary{}, err
	}
	defer expected.close()
	v := &verification{
		options: o, expected: expected, passed: sha256.New(),
		asker: &asker{api: o.API, limiter: rate.NewLimiter(rate.Limit(o.Rate), 1), log: o.Log},
	}
	if err := v.readBatch(ctx); err != nil {
		return v.counts, err
	}
	if from != nil {
		if err := v.resume(from); err != nil {
			return v.counts, err
		}
	}
	if v.report, err = openReport(o.Report, v.saved.Size); err != nil {
		return v.counts, err
	}
	err = v.run(ctx)
	if err != nil {
		return v.counts, errors.Join(err, v.checkpoint(), v.report.close())
	}
	if err := errors.Join(v.report.sync(), v.report.close()); err != nil {
		return v.counts, err
	}
	if err := os.Remove(o.Checkpoint); err != nil && !errors.Is(err, os.ErrNotExist) {
		return v.counts, fmt.Errorf("remove the checkpoint: %w", err)
	}
	return v.counts, nil
}

// verification is one call of Verify. It belongs to one goroutine; the asker is shared with
// the workers.
type verification struct {
	options  Options
	expected *expectations
	asker    *asker
	first    int // in the index of expected, of what an earlier run has not verified

	counts  Summary
	passed  hash.Hash // of the expectations that are verified
	refused int       // tasks in a row
	report  *report
	saved   checkpoint // the latest
	savedAt time.Time
}

// readBatch reads how the decisions of the batch ended.
func (v *verification) readBatch(ctx context.Context) error {
	f := v.options.Follow
	f.Once = true
	f.Result = func(r *decision.Result) error {
		if r.Outcome == decision.Completed || r.Outcome == decision.AlreadyComplete {
			return v.expected.add(r)
		}
		return nil
	}
	sum, err := follow.Follow(ctx, f)
	if err != nil {
		return err
	}
	v.counts = Summary{
		Unsettled: sum.Missing, DeadLettered: sum.DeadLettered,
		Skipped: sum.Settled - sum.DeadLettered - sum.Outcomes[decision.Completed] - sum.Outcomes[decision.AlreadyComplete],
	}
	return v.expected.sort()
}

// resume passes over what an earlier run has verified, if the batch expects the same there.
func (v *verification) resume(from *checkpoint) error {
	passed, next := sha256.New(), 0
	for next < len(v.expected.index) && placeOf(v.expected.index[next].hash) <= from.Place {
		tasks, after, err := v.expected.at(next)
		if err != nil {
			return err
		}
		for i := range tasks {
			addTo(passed, &tasks[i])
		}
		next = after
	}
	if hex.EncodeToString(passed.Sum(nil)) != from.Passed {
		v.options.Log.Warn("what was verified of the batch has changed since the interrupted run, for example by a redrive; beginning again", "checkpoint", v.options.Checkpoint)
		return nil
	}
	v.first, v.passed, v.saved = next, passed, *from
	v.options.Log.Info("going on where an interrupted run stopped", "checkpoint", v.options.Checkpoint, "tasks", from.Counts.Tasks)
	c := &v.counts
	c.Tasks, c.Same, c.Differ, c.Gone, c.Unreadable, c.Calls = from.Counts.Tasks, from.Counts.Same, from.Counts.Differ, from.Counts.Gone, from.Counts.Unreadable, from.Counts.Calls
	return nil
}

func placeOf(taskHash uint64) string { return fmt.Sprintf("%016x", taskHash) }

func addTo(h hash.Hash, e *expectation) {
	fmt.Fprintf(h, "%s/%s %s %d:%s", e.task.ProfileID, e.task.TaskID, e.state, len(e.id), e.id)
}

// question is a task on its way to an answer.
type question struct {
	expectation
	last     bool          // of those with its hash
	answered chan struct{} // closed when what follows is set
	answer   answer
	err      error
}

// run asks for all tasks and takes the answers in their order.
func (v *verification) run(ctx context.Context) error {
	before := v.counts.Calls
	ctx, cancel := context.WithCancel(ctx)
	var asking errgroup.Group
	defer func() {
		cancel()
		_ = asking.Wait() // each error is in its question
	}()
	queue, work := make(chan *question, ahead), make(chan *question)
	var reading error // read after queue is closed
	asking.Go(func() error {
		defer close(queue)
		defer close(work)
		reading = v.feed(ctx, queue, work)
		return nil
	})
	for range workers {
		asking.Go(func() error {
			for q := range work {
				q.answer, q.err = v.asker.ask(ctx, q.task)
				close(q.answered)
			}
			return nil
		})
	}
	v.savedAt = time.Now()
	for q := range queue {
		<-q.answered
		v.counts.Calls = before + v.asker.calls.Load()
		if q.err != nil {
			return q.err
		}
		if err := v.take(ctx, q); err != nil {
			return err
		}
		v.options.Progress(Progress{Tasks: v.expected.tasks, Done: v.counts.Tasks})
		if time.Since(v.savedAt) >= checkpointEvery {
			if err := v.checkpoint(); err != nil {
				return err
			}
		}
	}
	return reading
}

// feed puts each task into the queue, in order, and hands it to a worker. Every question in
// the queue is answered.
func (v *verification) feed(ctx context.Context, queue, work chan<- *question) error {
	for i := v.first; i < len(v.expected.index); {
		tasks, next, err := v.expected.at(i)
		if err != nil {
			return err
		}
		i = next
		for n := range tasks {
			q := &question{expectation: tasks[n], last: n == len(tasks)-1, answered: make(chan struct{})}
			select {
			case queue <- q:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case work <- q:
			case <-ctx.Done():
				q.err = ctx.Err()
				close(q.answered)
				return ctx.Err()
			}
		}
	}
	return nil
}

// take compares an answer with what was expected.
func (v *verification) take(ctx context.Context, q *question) error {
	v.refused++
	if !q.answer.refused {
		v.refused = 0
	}
	if v.refused == maxRefused {
		return fmt.Errorf("the API refused to show the last %d tasks (%s); give the key the right to read tasks", maxRefused, q.answer.unreadable)
	}
	c := &v.counts
	c.Tasks++
	d := Difference{Task: q.task, Expected: q.state, DecisionID: q.id, Origin: q.origin, At: q.answer.at}
	switch {
	case q.answer.unreadable != "":
		c.Unreadable++
		d.Found, d.Detail = Unreadable, decision.OneLine(q.answer.unreadable, 300)
	case q.answer.gone:
		c.Gone++
		d.Found = Gone
	case q.answer.state == q.state:
		c.Same++
	default:
		c.Differ++
		d.Found = decision.OneLine(string(q.answer.state), 64)
	}
	if q.answer.state != q.state {
		d.Line = v.lineOf(ctx, q.origin)
		if err := errors.Join(v.report.add(&d), v.options.Difference(d)); err != nil {
			return err
		}
	}
	addTo(v.passed, &q.expectation)
	// Not at a task that was refused: if the key is to blame, it will be asked for again.
	if q.last && v.refused == 0 {
		v.saved = checkpoint{Place: placeOf(hashOf(q.task)), Passed: hex.EncodeToString(v.passed.Sum(nil)), Counts: v.counts, Size: v.report.size}
	}
	return nil
}

// lineOf returns the line of a decision in its batch. Its record is read for that, since
// results don't have it; zero: the record is gone, or Kafka does not answer.
func (v *verification) lineOf(ctx context.Context, at decision.Position) int64 {
	ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
	defer cancel()
	records, err := v.options.Follow.Connection.ReadAt(ctx, at.Topic, at.Partition, []int64{at.Offset})
	if err != nil || len(records) == 0 {
		return 0
	}
	place, _ := decision.BatchPlaceOf(records[0].Headers)
	return place.Line
}

// checkpoint notes how far the run is.
func (v *verification) checkpoint() error {
	v.savedAt = time.Now()
	if v.saved.Place == "" {
		return nil // nothing is verified yet
	}
	if err := v.report.sync(); err != nil {
		return err
	}
	v.saved.Batch, v.saved.Report = v.options.batchHash(), v.options.Report
	return v.saved.write(v.options.Checkpoint)
}
