package submit

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// findStored finds which rows of a batch are in the topic from these offsets on, up to
// the ends of its logs, what is not replicated yet included: for that it waits.
func findStored(ctx context.Context, c *broker.Connection, topic, batchID string, from, ends map[int]int64, found func(row int64) error) error {
	partitions := make([]int, 0, len(ends))
	begin := make(map[int]int64, len(ends))
	for partition, end := range ends {
		// A partition that is newer than the offsets is looked at as a whole.
		begin[partition] = from[partition]
		if begin[partition] > end {
			return fmt.Errorf("topic %s partition %d ends at offset %d, and the batch was at %d: was the topic made anew? Find out what is missing (verdict follow %s) and submit that as a batch of its own",
				topic, partition, end, from[partition], batchID)
		}
		if begin[partition] < end {
			partitions = append(partitions, partition)
		}
	}
	if len(partitions) == 0 {
		return nil
	}
	return c.Scan(ctx, broker.ScanOptions{Topic: topic, Partitions: partitions, Offsets: begin, Ends: ends}, func(rec decision.Record) error {
		if place, ok := decision.BatchPlaceOf(rec.Headers); ok && place.ID == batchID {
			return found(place.Line)
		}
		return nil
	})
}

// look finds which rows are in the topic without the journal knowing, and writes
// journal and mark before anything is sent.
func (s *submission) findSent(ctx context.Context) (*rowSet, error) {
	there := newRowSet(s.entry.Done, s.batch.Rows)
	if !s.entry.Clean {
		if err := retry.Sleep(ctx, s.o.Settle); err != nil {
			return there, err
		}
		ends, err := s.o.Connection.LogEnds(ctx, s.o.Topic)
		if err != nil {
			return there, err
		}
		err = findStored(ctx, s.o.Connection, s.o.Topic, s.batch.ID, s.entry.Offsets, ends, func(row int64) error {
			there.add(row)
			return nil
		})
		if err != nil {
			return there, err
		}
	}
	// Only now: a journal that says Clean has offsets behind which nothing is.
	s.entry.Clean = false
	if err := s.journal.save(); err != nil {
		return there, err
	}
	return there, s.marks(ctx, false)
}

// alreadyStored looks for a record that may have been stored although its request failed.
// The publisher sends nothing for the partition meanwhile, and no checkpoint can
// come, since the record is under way.
func (s *submission) alreadyStored(ctx context.Context, partition int, rec *decision.Record) (bool, error) {
	place, _ := decision.BatchPlaceOf(rec.Headers)
	if err := retry.Sleep(ctx, time.Second); err != nil {
		return false, err
	}
	if now, err := readStatus(ctx, s.o.Connection, s.group, s.o.Topic); err == nil {
		if err := s.takenOver(now); err != nil {
			s.stop(err)
			return false, err
		}
	}
	ends, err := s.o.Connection.LogEnds(ctx, s.o.Topic)
	if err != nil {
		return false, err
	}
	end, ok := ends[partition]
	if !ok { // the topic was made anew with fewer partitions
		return false, nil
	}
	is := false
	err = findStored(ctx, s.o.Connection, s.o.Topic, s.batch.ID, s.entry.Offsets, map[int]int64{partition: end}, func(row int64) error {
		if row != place.Line {
			return nil
		}
		is = true
		return broker.ErrStopScan
	})
	return is, err
}
