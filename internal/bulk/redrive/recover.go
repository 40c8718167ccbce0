package redrive

import (
	"context"
	"errors"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// recover takes in the copies that no commit speaks of.
func (r *Redriver) recover(ctx context.Context) error {
	var oldest time.Time
	for _, target := range r.o.Targets {
		ends, err := r.o.Connection.LogEnds(ctx, target)
		if errors.Is(err, broker.ErrNoTopic) {
			continue // nothing is there, and nothing goes there
		}
		if err != nil {
			return err
		}
		r.exist[target] = true
		notes, err := r.o.Connection.GroupOffsets(ctx, r.set.group, target)
		if err != nil {
			return err
		}
		from := make(map[int]int64)
		for partition, note := range notes {
			if note.Metadata == noteMetadata && note.Offset <= ends[partition] {
				from[partition] = note.Offset
			}
		}
		scan := broker.ScanOptions{Topic: target, Offsets: from, Ends: ends, Retrying: r.o.Retrying}
		if len(from) < len(ends) {
			if oldest.IsZero() {
				if oldest, err = r.oldest(ctx); err != nil {
					return err
				}
			}
			scan.Since = oldest.Add(-topicread.ClockSkew)
		}
		err = r.o.Connection.Scan(ctx, scan, func(rec decision.Record) error {
			letter, ok := decision.RedrivenFrom(&rec)
			// A header of somebody else's may name what there is not.
			if b, known := r.bounds[letter.Partition]; ok && known && letter.Topic == r.o.DeadLetters && letter.Offset >= b.First && letter.Offset < b.End {
				r.set.add(letter.Partition, letter.Offset)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldest is the time of the oldest dead letter, now if there is none.
func (r *Redriver) oldest(ctx context.Context) (time.Time, error) {
	oldest := time.Now()
	for partition, b := range r.bounds {
		err := r.o.Connection.Scan(ctx, broker.ScanOptions{
			Topic: r.o.DeadLetters, Partitions: []int{partition}, Ends: map[int]int64{partition: b.End}, Retrying: r.o.Retrying,
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
