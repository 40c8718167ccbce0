package backfill

import (
	"context"
	"fmt"
	"math/bits"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// rowSet is a set of rows' numbers, at one bit a row.
type rowSet struct {
	after int64 // it holds numbers above this one
	bits  []uint64
}

func newRowSet(after, last int64) *rowSet {
	return &rowSet{after: after, bits: make([]uint64, (max(0, last-after)+63)/64)}
}

func (s *rowSet) add(n int64) {
	if i := n - s.after - 1; i >= 0 && i < int64(64*len(s.bits)) {
		s.bits[i/64] |= 1 << (i % 64)
	}
}

func (s *rowSet) has(n int64) bool {
	i := n - s.after - 1
	return i >= 0 && i < int64(64*len(s.bits)) && s.bits[i/64]&(1<<(i%64)) != 0
}

func (s *rowSet) count() (n int64) {
	for _, b := range s.bits {
		n += int64(bits.OnesCount64(b))
	}
	return n
}

// landed finds which rows of a batch are in the topic from these offsets on, up to
// the ends of its logs, what is not replicated yet included: for that it waits.
func landed(ctx context.Context, c *broker.Connection, topic, batchID string, from, ends map[int]int64, found func(row int64) error) error {
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
