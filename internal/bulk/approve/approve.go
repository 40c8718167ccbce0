// Package approve moves a batch that waits for a second person's word from the topic of
// held decisions to its lane, in order, each decision once. Asking the user and printing is
// left to the command line.
//
// Decisions and the offsets up to which they were moved are written in one transaction, under
// the transactional ID of the batch. So whoever approves after another one was cut off goes
// on where that one was, and a submit of the batch is fenced.
//
// That approver and submitter are two people is checked here as well as it can be. What
// makes it a rule is Kafka: who may approve is who may write to the lane's topic.
package approve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

const (
	chunkRecords = 20_000
	chunkBytes   = 8 << 20
)

// Options say what to approve.
type Options struct {
	Store store.Options // with the approver as Author. Required.
	Batch string        // its ID. Required.
	// Targets are the topics that a batch may be moved to: the lanes'. Required.
	Targets []string
	// Progress is called now and then with the decisions that were moved. Nil: no calls.
	Progress func(moved int64)
}

// Summary says what a call did.
type Summary struct {
	Size    int64 // decisions of the batch
	Earlier int64 // that were moved before
	Moved   int64 // that were moved now
}

// DoneError reports that the whole batch was approved and moved before.
type DoneError struct {
	Batch string
	By    ledger.Author
	At    time.Time
}

// Error says by whom.
func (e *DoneError) Error() string {
	return fmt.Sprintf("batch %s was approved by %s at %s, and all of it was moved", e.Batch, decision.OneLine(e.By.Actor, 100), decision.Time{Time: e.At})
}

// Check returns the batch, or why it can't be approved by this actor.
func Check(s *ledger.State, id, actor string) (ledger.Entry, error) {
	e, ok := s.Batch(id)
	switch {
	case !ok:
		return e, fmt.Errorf("no batch %s is known; verdict batches lists them", id)
	case e.Batch.Approval == nil:
		return e, fmt.Errorf("batch %s needs no approval: it was submitted into %s", id, e.Batch.Topic)
	case e.Batch.Ended.IsZero():
		return e, fmt.Errorf("batch %s is not complete yet: %d rows of it were sent, last at %s by %s; approve it when its submit has ended",
			id, e.Batch.Sent, decision.Time{Time: e.At}, decision.OneLine(e.Actor, 100))
	case s.Hold(ledger.HoldBatch(id)).Cancelled != nil:
		return e, fmt.Errorf("batch %s was cancelled; submit what is still wanted as a batch of its own", id)
	}
	a := e.Batch.Approval
	if !a.Ended.IsZero() {
		return e, &DoneError{Batch: id, By: *a.By, At: a.At}
	}
	// The submitter that an entry names could be anybody; who wrote it last is known.
	if actor == e.Batch.Submitter.Actor || a.By == nil && actor == e.Actor {
		return e, fmt.Errorf("batch %s was submitted by %s, so somebody else has to approve it", id, decision.OneLine(actor, 100))
	}
	return e, nil
}

// run is one call of Approve.
type run struct {
	o       Options
	w       *store.Writer
	to      string
	rows    []decision.Record // to be moved next
	bytes   int
	partial map[int]int64 // Approval.Moved once they are
}

// Approve approves a batch and moves all of its decisions. If ctx ends first, the next call
// goes on from there. The error is a *DoneError if there was nothing left to move.
func Approve(ctx context.Context, o Options) (sum Summary, err error) {
	// Before the batch is taken over, which would end a submit that is at work.
	state, err := store.Read(ctx, o.Store, nil)
	if err != nil {
		return sum, err
	}
	if _, err := Check(state, o.Batch, o.Store.Author.Actor); err != nil {
		return sum, err
	}
	r := &run{o: o}
	if r.w, err = store.Open(ctx, o.Store, ledger.BatchKey(o.Batch)); err != nil {
		return sum, err
	}
	e, err := Check(r.w.State(), o.Batch, o.Store.Author.Actor)
	if err != nil {
		return sum, err
	}
	if r.to = e.Batch.Approval.To; !slices.Contains(o.Targets, r.to) {
		return sum, fmt.Errorf("batch %s was submitted for topic %s, which is no lane of this configuration (kafka.topics): use the configuration that it was submitted with", o.Batch, decision.OneLine(r.to, 249))
	}
	sum.Size, sum.Earlier = e.Batch.Sent, e.Batch.Approval.Count
	if err := r.begin(ctx); err != nil {
		return sum, err
	}
	for {
		err = r.move(ctx)
		sum.Moved = r.batch().Approval.Count - sum.Earlier
		if err == nil || ctx.Err() != nil || !errors.Is(err, errWrite) {
			return sum, err
		}
		if err := r.w.Recover(ctx); err != nil {
			return sum, err
		}
	}
}

// batch returns a copy of the batch as the ledger has it, to be changed.
func (r *run) batch() ledger.Batch {
	e, _ := r.w.State().Batch(r.o.Batch)
	b := *e.Batch
	a := *b.Approval
	a.Begin, a.Moved = maps.Clone(a.Begin), maps.Clone(a.Moved)
	b.Approval = &a
	return b
}

// begin writes who approves, and that this run does so from now on.
func (r *run) begin(ctx context.Context) error {
	b := r.batch()
	a, act := b.Approval, map[string]string{"decisions": fmt.Sprint(b.Sent - b.Approval.Count), "to": b.Approval.To}
	if a.By == nil {
		bounds, err := r.o.Store.Connection.Bounds(ctx, a.To)
		if err != nil {
			return err
		}
		author := r.w.Author()
		a.By, a.At = &author, time.Now()
		a.Begin, a.Moved = make(map[int]int64), maps.Clone(b.Begin)
		for partition, bound := range bounds {
			a.Begin[partition] = bound.End
		}
	}
	return r.write(ctx, nil, &b, act)
}

// errWrite is an error after which the ledger says how far the batch got.
var errWrite = errors.New("approve: the transaction failed")

// write writes records and the batch; with an act if there are details.
func (r *run) write(ctx context.Context, rows []decision.Record, b *ledger.Batch, details map[string]string) error {
	key := ledger.BatchKey(r.o.Batch)
	c := store.Change{Rows: rows, Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Batch: b}}}}
	if details != nil {
		c.Acts = []ledger.Act{{Key: key.In(r.o.Store.Group), Details: details}}
	}
	if _, err := r.w.Write(ctx, c); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

// move moves what is left, and then notes the end.
func (r *run) move(ctx context.Context) error {
	b := r.batch()
	connection := r.o.Store.Connection
	bounds, err := connection.Bounds(ctx, b.Topic)
	if err != nil {
		return err
	}
	r.rows, r.bytes, r.partial = nil, 0, maps.Clone(b.Approval.Moved)
	for _, partition := range slices.Sorted(maps.Keys(bounds)) {
		from, bound := r.partial[partition], bounds[partition]
		if from < bound.First {
			return fmt.Errorf("batch %s: decisions that waited may have been deleted: topic %s partition %d begins at offset %d, but the batch was at %d",
				r.o.Batch, b.Topic, partition, bound.First, from)
		}
		if from >= bound.End {
			continue
		}
		err := connection.Scan(ctx, broker.ScanOptions{
			Topic: b.Topic, Partitions: []int{partition}, Offsets: map[int]int64{partition: from}, Ends: map[int]int64{partition: bound.End}, Retrying: r.o.Store.Retrying,
		}, func(rec decision.Record) error { return r.take(ctx, b.Runs, rec) })
		if err != nil {
			return err
		}
		r.partial[partition] = bound.End
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	b = r.batch()
	if b.Approval.Count != b.Sent {
		return fmt.Errorf("batch %s has %d decisions, but %d were found in %s: some were deleted or are not readable", r.o.Batch, b.Sent, b.Approval.Count, b.Topic)
	}
	b.Approval.Ended = time.Now()
	return r.write(ctx, nil, &b, map[string]string{"moved": fmt.Sprint(b.Approval.Count), "to": b.Approval.To})
}

// take takes one record of the topic of held decisions, if the batch's runs wrote it.
func (r *run) take(ctx context.Context, runs []string, rec decision.Record) error {
	r.partial[rec.Partition] = rec.Offset + 1
	if rec.Fault != "" || !slices.Contains(runs, decision.RunOf(rec.Headers)) {
		return nil
	}
	r.rows = append(r.rows, decision.Record{Topic: r.to, Partition: broker.ByKey, Key: rec.Key, Value: rec.Value, Headers: rec.Headers})
	r.bytes += rec.Size()
	if len(r.rows) < chunkRecords && r.bytes < chunkBytes {
		return nil
	}
	return r.flush(ctx)
}

// flush moves what was taken.
func (r *run) flush(ctx context.Context) error {
	if len(r.rows) == 0 {
		return nil
	}
	b := r.batch()
	b.Approval.Moved = maps.Clone(r.partial)
	b.Approval.Count += int64(len(r.rows))
	if err := r.write(ctx, r.rows, &b, nil); err != nil {
		return err
	}
	r.rows, r.bytes = nil, 0
	if r.o.Progress != nil {
		r.o.Progress(b.Approval.Count)
	}
	return nil
}
