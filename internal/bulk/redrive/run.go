package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/retry"
)

// A transaction holds at most so many letters, so many bytes of copies, and what the rate
// allows in a second.
const (
	maxChunk      = 5000
	maxChunkBytes = 8 << 20
)

const (
	// stopTimeout bounds the end of a run.
	stopTimeout = 30 * time.Second
	// recoverTimeout is how long a run waits for Kafka after a failed write.
	recoverTimeout = 10 * time.Minute
	// maxFailures is how often a write may fail in a row, although Kafka is there.
	maxFailures = 5
)

// writeRetry is the back-off between two attempts to write.
var writeRetry = retry.Policy{Min: 200 * time.Millisecond, Max: 5 * time.Second}

// Summary is what a run did.
type Summary struct {
	Handled int64 // went back, or were dismissed or restored
	Failed  int64 // refused by Kafka permanently
	Limited bool  // Options.Limit left some
}

// Run handles what Scan counts. If ctx ends, the next run does the rest. The error is a
// *store.TakenOverError if another run has begun meanwhile.
func (r *Redriver) Run(ctx context.Context) (Summary, error) {
	run := &run{Redriver: r, limiter: rate.NewLimiter(rate.Inf, maxChunk), most: maxChunk, batch: r.newBatch(), batchKey: ledger.BatchKey(BatchID(r.options.Ledger.Author.Run))}
	if r.options.Rate > 0 {
		run.most = max(1, int(min(r.options.Rate, maxChunk)))
		run.limiter = rate.NewLimiter(rate.Limit(r.options.Rate), run.most)
	}
	if err := run.own(ctx); err != nil {
		return Summary{}, err
	}
	err := r.readLetters(ctx, func(rec *decision.Record) error { return run.add(ctx, rec) })
	if err == nil {
		err = run.flush(ctx)
	}
	if ctx.Err() != nil && !store.IsTakenOver(err) {
		err = ctx.Err()
	}
	return run.summary, run.finish(ctx, err)
}

// run is one call of Run. What it embeds belongs to its goroutine.
type run struct {
	*Redriver
	writer   *store.Writer
	limiter  *rate.Limiter
	most     int          // letters in a transaction
	batch    ledger.Batch // as it is written
	batchKey ledger.Key

	chunk   []outgoing // for the next transaction
	bytes   int        // of its copies
	read    int64
	taken   int64 // into chunks
	summary Summary
}

// outgoing is a letter to be handled.
type outgoing struct {
	letter decision.Position
	copied decision.Record // to send back
}

// add takes a letter into the chunk, if it is chosen, and writes the chunk if it is full.
func (r *run) add(ctx context.Context, rec *decision.Record) error {
	if r.read++; r.read%1000 == 0 {
		r.options.Progress(r.read, r.summary.Handled)
	}
	c, chosen := r.choose(rec)
	if !chosen || c.refused != nil || c.stands != open {
		return nil
	}
	if r.options.Limit > 0 && r.taken == r.options.Limit {
		r.summary.Limited = true
		return broker.ErrStopScan
	}
	r.taken++
	r.chunk = append(r.chunk, outgoing{letter: rec.Origin(), copied: c.copied})
	r.bytes += c.copied.Size()
	if len(r.chunk) < r.most && r.bytes < maxChunkBytes {
		return nil
	}
	return r.flush(ctx)
}

// flush writes the chunk when the rate allows it.
func (r *run) flush(ctx context.Context) error {
	if len(r.chunk) == 0 {
		return nil
	}
	if err := retry.Sleep(ctx, r.limiter.ReserveN(time.Now(), len(r.chunk)).Delay()); err != nil {
		return err
	}
	err := r.send(ctx, r.chunk)
	r.chunk, r.bytes = r.chunk[:0], 0
	r.options.Progress(r.read, r.summary.Handled)
	return err
}

// send handles letters. If Kafka refuses a copy for good, it finds out which, and leaves
// that out.
func (r *run) send(ctx context.Context, letters []outgoing) error {
	for failed := 1; ; failed++ {
		err := r.write(ctx, letters)
		half := len(letters) / 2
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || store.IsTakenOver(err) || failed == maxFailures:
			return err
		case isRefused(err) && half > 0:
			if err := r.send(ctx, letters[:half]); err != nil {
				return err
			}
			return r.send(ctx, letters[half:])
		case isRefused(err):
			r.summary.Failed++
			r.options.Retrying(fmt.Errorf("%s: %w", letters[0].letter, err))
			return nil
		}
		r.options.Retrying(err)
		if err := retry.Sleep(ctx, writeRetry.Backoff(failed)); err != nil {
			return err
		}
	}
}

// isRefused reports whether Kafka will never take a record.
func isRefused(err error) bool {
	return errors.Is(err, decision.ErrTooLarge) || errors.Is(err, kafka.InvalidRecord) || errors.Is(err, kafka.InvalidTimestamp)
}

// write handles letters in one transaction. After an error the ledger is the one of before,
// unless it could not be read again.
func (r *run) write(ctx context.Context, letters []outgoing) error {
	m, on := dismissed, r.options.Action == Dismiss
	if r.options.Action == SendBack {
		m, on = redriven, true
	}
	var c store.Change
	changed := make(map[windowKey]bool)
	for _, l := range letters {
		r.windows.set(m, l.letter, on)
		changed[windowOf(l.letter)] = true
		if m == redriven {
			c.Rows = append(c.Rows, l.copied)
		}
	}
	for at := range changed {
		c.Entries = append(c.Entries, r.windows.entry(r.topicID, at))
	}
	before := r.batch
	if m == redriven {
		r.batch.Sent += int64(len(letters))
		r.batch.Done = r.batch.Sent
		c.Entries = append(c.Entries, r.batchEntry())
	}
	_, err := r.writer.Write(ctx, c)
	if err != nil {
		if recovered := r.recover(ctx); recovered != nil {
			r.batch = before
			return recovered
		}
		if r.windows.has(m, letters[0].letter) != on {
			r.batch = before
			return err
		}
	}
	r.summary.Handled += int64(len(letters))
	return nil
}

// recover takes the key over again after a failed write, and reads what the ledger says now.
// It does so even if ctx has ended, so that it is known what was written.
func (r *run) recover(ctx context.Context) error {
	deadline := time.Now().Add(recoverTimeout)
	for failed := 1; ; failed++ {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		err := r.writer.Recover(attempt)
		cancel()
		if err == nil {
			r.windows = windowsIn(r.writer.State(), r.topicID)
			return nil
		}
		if store.IsTakenOver(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		r.options.Retrying(err)
		if ended := retry.Sleep(ctx, writeRetry.Backoff(failed)); ended != nil {
			return err
		}
	}
}

// finish writes that the run has ended, and whether it did early. It returns err, or why the
// ledger was not told.
func (r *run) finish(ctx context.Context, err error) error {
	if store.IsTakenOver(err) {
		return err // who took over has ended the batch
	}
	r.batch.Size, r.batch.Ended = r.batch.Sent, time.Now()
	c := store.Change{Acts: []ledger.Act{r.end(err)}}
	if r.options.Action == SendBack {
		c.Entries = append(c.Entries, r.batchEntry())
	}
	write := func() error {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_, err := r.writer.Write(within, c)
		return err
	}
	failed := write()
	if failed != nil { // once more: the writer may be one that has failed before
		if failed = r.recover(ctx); failed == nil {
			if b, ok := r.writer.State().Batch(r.batchKey.Name); !ok || b.Batch.Ended.IsZero() {
				failed = write()
			}
		}
	}
	if failed != nil && err == nil && !store.IsTakenOver(failed) {
		return fmt.Errorf("all is done, but the ledger does not say so: %w", failed)
	}
	return err
}
