package submit

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// findStored finds the rows that are in the topic and that the journal does not know of,
// then writes the journal and the status before anything is sent.
func (s *submission) findStored(ctx context.Context) error {
	s.stored = newRowSet(s.entry.Done, s.batch.Rows)
	if !s.entry.Clean {
		if err := retry.Sleep(ctx, s.options.Settle); err != nil {
			return err
		}
		ends, err := s.options.Connection.LogEnds(ctx, s.options.Topic)
		if err != nil {
			return err
		}
		err = s.scanRows(ctx, ends, func(row int64) error {
			s.stored.add(row)
			return nil
		})
		if err != nil {
			return err
		}
	}
	// Only now: while the journal says Clean, no row is at its offsets or beyond.
	s.entry.Clean = false
	if err := s.journal.save(); err != nil {
		return err
	}
	return s.renewStatus(ctx, false)
}

// alreadyStored reports whether a record is in the topic although its request failed.
// Meanwhile the publisher sends nothing to the partition, and no checkpoint happens,
// since the record is in flight.
func (s *submission) alreadyStored(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	place, _ := decision.BatchPlaceOf(rec.Headers)
	// The request may still be on its way to the broker.
	if err := retry.Sleep(ctx, time.Second); err != nil {
		return false, err
	}
	if current, err := readStatus(ctx, s.options.Connection, s.group, s.options.Topic); err == nil {
		if err := s.checkOwner(current); err != nil {
			s.stop(err)
			return false, err
		}
	}
	ends, err := s.options.Connection.LogEnds(ctx, s.options.Topic)
	if err != nil {
		return false, err
	}
	end, ok := ends[partition]
	if !ok { // the topic was recreated with fewer partitions
		return false, nil
	}
	stored := false
	err = s.scanRows(ctx, map[int]int64{partition: end}, func(row int64) error {
		if row != place.Line {
			return nil
		}
		stored = true
		return broker.ErrStopScan
	})
	return stored, err
}

// scanRows calls each with the batch's rows that are in the topic, from the offsets of
// the journal entry up to these ends. The ends may include records that are not
// replicated yet; it waits for them.
func (s *submission) scanRows(ctx context.Context, ends map[int]int64, each func(row int64) error) error {
	topic, batchID := s.options.Topic, s.batch.ID
	partitions := make([]int, 0, len(ends))
	begin := make(map[int]int64, len(ends))
	for partition, end := range ends {
		// A partition that is newer than the entry is scanned from its beginning.
		begin[partition] = s.entry.Offsets[partition]
		if begin[partition] > end {
			return fmt.Errorf("topic %s partition %d ends at offset %d, but the batch was at %d: was the topic deleted and recreated? Find out what is missing (verdict follow %s) and submit that as a batch of its own",
				topic, partition, end, begin[partition], batchID)
		}
		if begin[partition] < end {
			partitions = append(partitions, partition)
		}
	}
	if len(partitions) == 0 {
		return nil
	}
	return s.options.Connection.Scan(ctx, broker.ScanOptions{Topic: topic, Partitions: partitions, Offsets: begin, Ends: ends}, func(rec decision.Record) error {
		if place, ok := decision.BatchPlaceOf(rec.Headers); ok && place.ID == batchID {
			return each(place.Line)
		}
		return nil
	})
}
