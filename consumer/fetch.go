package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// skipSettled is how many settled offsets in a row are read and dropped. Beyond
// that it costs less to fetch from where they end.
const skipSettled = 1000

// fetchRetry is the back-off of a fetch loop, as for a leader that moves.
var fetchRetry = retry.Policy{Min: 100 * time.Millisecond, Max: 2 * time.Second}

// fetchFailing is how long a partition can't be read before the log says so.
const fetchFailing = 30 * time.Second

// errJump ends a fetch in which settled offsets follow each other, to go on behind them.
var errJump = errors.New("consumer: go on behind what is settled")

// fetch is the loop of one partition: it reads, tracks and hands over records
// until ctx ends. The claim's span and the handler's room hold it back.
//
// It is the only place where the consumer reads records: the rest of the package
// knows a record by its claim and offset alone.
func (c *Consumer) fetch(ctx context.Context, claim *Claim, maxBytes int) {
	log := c.log.With("topic", claim.Topic, "partition", claim.Partition)
	if c.restoreLate(ctx, claim) != nil {
		return
	}
	next := claim.firstOffset()
	var open openTransaction
	var since time.Time // when it began to fail; zero: it does not
	var said bool
	for failed := 0; ctx.Err() == nil; {
		fetched, err := c.opts.Fetch(ctx, broker.FetchRequest{Topic: claim.Topic, Partition: claim.Partition, Offset: next, MaxBytes: maxBytes})
		if err == nil {
			next, err = c.takeAll(ctx, claim, fetched)
			open.note(log, next, fetched)
		} else if errors.Is(err, kafka.OffsetOutOfRange) {
			next, err = c.skipDeleted(ctx, claim, next)
		}
		switch {
		case errors.Is(err, errNotTaken), ctx.Err() != nil:
			return
		case err == nil:
			if said {
				log.Info("the partition is read again")
			}
			failed, since, said = 0, time.Time{}, false
			continue
		}
		// This is no reason to pause: what was fetched can be settled, and heartbeats
		// notice an unreachable cluster.
		if failed++; failed == 1 {
			since = time.Now()
		}
		if !said && time.Since(since) >= fetchFailing {
			said = true
			log.Error("a partition can't be read; the others go on", "err", err)
		}
		backoff := fetchRetry
		if code, ok := errors.AsType[kafka.Error](err); ok && !code.Temporary() {
			backoff = lateRetry // somebody has to mend it, such as a right that is missing
		}
		if retry.Sleep(ctx, backoff.Backoff(failed)) != nil {
			return
		}
	}
}

// errNotTaken ends a fetch loop: the handler did not take a record.
var errNotTaken = errors.New("consumer: the handler did not take a record")

// takeAll takes the records of a fetch. It returns the offset to go on with.
func (c *Consumer) takeAll(ctx context.Context, claim *Claim, fetched *broker.Fetched) (next int64, err error) {
	claim.sawEnd(fetched.End)
	var jump int64
	next, err = fetched.Read(func(rec decision.Record) (err error) {
		jump, err = c.take(ctx, claim, rec)
		return err
	})
	switch {
	case errors.Is(err, errJump):
		return jump, nil
	case err != nil:
		return next, err
	}
	claim.sawEnd(next)
	return next, claim.pass(ctx, next)
}

// take tracks a record and hands it over. With errJump it returns the offset to go on with.
func (c *Consumer) take(ctx context.Context, claim *Claim, rec decision.Record) (jump int64, err error) {
	known, before, err := claim.track(ctx, rec.Offset)
	if err != nil {
		return 0, errNotTaken
	}
	if known {
		if jump := claim.settledUntil(rec.Offset); jump-rec.Offset > skipSettled {
			return jump, errJump
		}
		return 0, nil
	}
	if c.handler.Accept(ctx, claim, rec, before) != nil {
		return 0, errNotTaken
	}
	return 0, nil
}

// skipDeleted goes on where retention has left records, after a fetch of an offset that the
// partition does not have. A topic that was created again is left to watch.
func (c *Consumer) skipDeleted(ctx context.Context, claim *Claim, next int64) (int64, error) {
	first, err := c.opts.Deleted(ctx, claim.Topic, claim.Partition, next)
	if err != nil {
		return next, err
	}
	c.lose(claim, next, first, claim.unsettled(next, first))
	return first, claim.pass(ctx, first)
}

// lose reports records that retention deleted before they were read: so many of those from
// the next one up to the first that is left.
func (c *Consumer) lose(claim *Claim, next, first, lost int64) {
	c.log.Error("decisions were deleted by the topic's retention before they were read; raise retention.ms, or add instances",
		"topic", claim.Topic, "partition", claim.Partition, "next", next, "first", first, "lost", lost)
	c.opts.Metrics.RecordsLost.WithLabelValues(claim.Topic).Add(float64(lost))
}

const (
	// longTransaction is how long records wait behind a transaction before the log says so: as
	// long as a producer's transaction.timeout.ms is by default.
	longTransaction = time.Minute
	// repeatTransaction is how long after that it says so again.
	repeatTransaction = 10 * time.Minute
)

// openTransaction is the producer's transaction behind which the records of a partition
// wait.
type openTransaction struct {
	at    int64     // its first offset, from which on nothing can be read
	since time.Time // when it was seen there first; zero: there is none
	said  time.Time // zero: not yet
}

// note takes over what a fetch showed, after which next is the offset to go on with.
func (o *openTransaction) note(log *slog.Logger, next int64, f *broker.Fetched) {
	now := time.Now()
	switch {
	case f.Stable >= f.End || next < f.Stable:
		if !o.said.IsZero() {
			log.Info("the transaction has ended; its partition is read on", "offset", o.at)
		}
		*o = openTransaction{}
	case o.since.IsZero() || o.at != f.Stable:
		*o = openTransaction{at: f.Stable, since: now}
	case now.Sub(o.since) >= longTransaction && now.Sub(o.said) >= repeatTransaction:
		o.said = now
		log.Warn("records wait behind a producer's open transaction; if its producer is gone, end it with Kafka's kafka-transactions.sh abort",
			"offset", o.at, "records", f.End-f.Stable, "since", o.since)
	}
}
