package redrive

import (
	"context"
	"errors"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// findCopies adds those copies to the set that an earlier redrive sent and did not
// commit.
func (r *Redriver) findCopies(ctx context.Context) error {
	o := &r.options
	var oldest time.Time
	for _, target := range r.targets {
		ends, err := o.Connection.LogEnds(ctx, target)
		if errors.Is(err, broker.ErrNoTopic) {
			continue // it holds no copies, and none will be sent there
		}
		if err != nil {
			return err
		}
		r.existing[target] = true
		recorded, err := o.Connection.GroupOffsets(ctx, r.redriven.group, target)
		if err != nil {
			return err
		}
		from := make(map[int]int64)
		for partition, end := range recorded {
			if end.Metadata == endMetadata && end.Offset <= ends[partition] {
				from[partition] = end.Offset
			}
		}
		scan := broker.ScanOptions{Topic: target, Offsets: from, Ends: ends, Retrying: o.Retrying}
		if len(from) < len(ends) {
			if oldest.IsZero() {
				if oldest, err = r.oldest(ctx); err != nil {
					return err
				}
			}
			if !oldest.IsZero() {
				scan.Since = oldest.Add(-topicread.ClockSkew)
			}
		}
		err = o.Connection.Scan(ctx, scan, func(rec decision.Record) error {
			letter, ok := decision.RedrivenFrom(&rec)
			// A header that another program wrote may name a letter that does not
			// exist.
			if b, known := r.bounds[letter.Partition]; ok && known && letter.Topic == o.DeadLetters && letter.Offset >= b.First && letter.Offset < b.End {
				r.redriven.add(letter.Partition, letter.Offset)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldest returns the time of the oldest dead letter, or now if there is none; zero: a
// partition's first has none.
func (r *Redriver) oldest(ctx context.Context) (time.Time, error) {
	oldest := time.Now()
	for partition, b := range r.bounds {
		err := r.options.Connection.Scan(ctx, broker.ScanOptions{
			Topic: r.options.DeadLetters, Partitions: []int{partition}, Ends: map[int]int64{partition: b.End}, Retrying: r.options.Retrying,
		}, func(rec decision.Record) error {
			if rec.Time.Before(oldest) {
				oldest = rec.Time
			}
			return broker.ErrStopScan
		})
		if err != nil {
			return oldest, err
		}
	}
	return oldest, nil
}

// alreadyStored reports whether a copy is in its topic although its request failed. It
// reads what the partition received since the last checkpoint recorded its end.
func (r *Redriver) alreadyStored(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	// The request may still be on its way to the broker.
	if err := retry.Sleep(ctx, time.Second); err != nil {
		return false, err
	}
	ends, err := r.options.Connection.LogEnds(ctx, rec.Topic)
	if err != nil {
		return false, err
	}
	from, end := r.targetEnds[rec.Topic][partition], ends[partition]
	if end <= from {
		return false, nil
	}
	letter, _ := decision.RedrivenFrom(rec)
	stored := false
	err = r.options.Connection.Scan(ctx, broker.ScanOptions{
		Topic: rec.Topic, Partitions: []int{partition}, Offsets: map[int]int64{partition: from}, Ends: map[int]int64{partition: end},
	}, func(rec decision.Record) error {
		if of, ok := decision.RedrivenFrom(&rec); !ok || of != letter {
			return nil
		}
		stored = true
		return broker.ErrStopScan
	})
	return stored, err
}
