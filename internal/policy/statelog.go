package policy

import (
	"context"
	"fmt"
	"iter"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// maxRequest bounds the records of one request to the state topic, in bytes: half
// of what a broker accepts by default.
const maxRequest = 512 << 10

// stateLog is the partition of the state topic that belongs to a partition of the
// input. Only its owner should write to it, so the offsets of its records have no
// gaps; a gap shows that another instance has written.
type stateLog struct {
	log       Log
	topic     string
	partition int
	next      int64 // the offset of the next record if nobody else writes
}

// restore reads the whole partition and returns its counts.
func (s *stateLog) restore(ctx context.Context, policies Set) (*Counts, error) {
	bounds, err := s.log.Bounds(ctx, s.topic)
	if err != nil {
		return nil, err
	}
	bound, ok := bounds[s.partition]
	if !ok {
		return nil, fmt.Errorf("topic %s has %d partitions, but the input has a partition %d; add partitions (kafka-topics.sh --alter --topic %s --partitions …)",
			s.topic, len(bounds), s.partition, s.topic)
	}
	counts := NewCounts(policies)
	if err := s.read(ctx, bound.First, bound.End, func(rec decision.Record) error {
		counts.Restore(rec.Key, rec.Value)
		return nil
	}); err != nil {
		return nil, err
	}
	if err := counts.Restored(); err != nil {
		return nil, fmt.Errorf("%s/%d: %w", s.topic, s.partition, err)
	}
	s.next = bound.End
	return counts, nil
}

func (s *stateLog) read(ctx context.Context, from, to int64, each func(decision.Record) error) error {
	if from >= to {
		return nil
	}
	return s.log.Scan(ctx, broker.ScanOptions{
		Topic: s.topic, Partitions: []int{s.partition},
		Offsets: map[int]int64{s.partition: from}, Ends: map[int]int64{s.partition: to},
	}, each)
}

// write makes one attempt to write records. If the log turns out to have records
// between the last known one and these, an earlier owner wrote late or the answer
// to an earlier attempt was lost. The states of those records are then written
// again with the next flush.
func (s *stateLog) write(ctx context.Context, counts *Counts, records []decision.Record) error {
	offset, err := s.log.Append(ctx, s.topic, s.partition, records)
	if err != nil {
		return err
	}
	from := s.next
	s.next = offset + int64(len(records))
	if err := s.read(ctx, from, offset, func(rec decision.Record) error {
		counts.WriteAgain(rec.Key)
		return nil
	}); err != nil {
		s.next = from // these records are written; the next write reads the gap again
	}
	return nil
}

// batches splits changes into requests.
func batches(changes []Change) iter.Seq[[]decision.Record] {
	return func(yield func([]decision.Record) bool) {
		var batch []decision.Record
		size := 0
		for _, c := range changes {
			rec := decision.Record{Key: c.Key, Value: c.Value}
			if size += rec.Size(); size > maxRequest && len(batch) > 0 {
				if !yield(batch) {
					return
				}
				batch, size = nil, rec.Size()
			}
			batch = append(batch, rec)
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}
