package policy

import (
	"context"
	"fmt"
	"iter"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// maxRequest bounds the records of one request to the state topic, in bytes;
// half of what a broker takes by default.
const maxRequest = 512 << 10

// stateLog is the partition of the state topic that belongs to a partition of
// the input. Its owner alone writes it, which makes it possible to notice that
// somebody else did: its records then don't lie end to end.
type stateLog struct {
	log       Log
	topic     string
	partition int
	next      int64 // the offset that the next record must have
}

// restore is a ledger with the counts of the whole of it.
func (s *stateLog) restore(ctx context.Context, policies Set) (*Ledger, error) {
	bounds, err := s.log.Bounds(ctx, s.topic)
	if err != nil {
		return nil, err
	}
	bound, ok := bounds[s.partition]
	if !ok {
		return nil, fmt.Errorf("topic %s has %d partitions, none for partition %d of the input; add partitions (kafka-topics.sh --alter --topic %s --partitions …)",
			s.topic, len(bounds), s.partition, s.topic)
	}
	ledger := NewLedger(policies)
	if err := s.read(ctx, bound.First, bound.End, func(rec decision.Record) error {
		ledger.Restore(rec.Key, rec.Value)
		return nil
	}); err != nil {
		return nil, err
	}
	if err := ledger.Restored(); err != nil {
		return nil, fmt.Errorf("%s/%d: %w", s.topic, s.partition, err)
	}
	s.next = bound.End
	return ledger, nil
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

// write makes one attempt to write records. Where the log turns out to have
// records between the last that was known and these (an owner before, who wrote
// late; or an attempt before, whose answer was lost), the states that they are
// about are written again behind them, with the next flush.
func (s *stateLog) write(ctx context.Context, ledger *Ledger, records []decision.Record) error {
	offset, err := s.log.Append(ctx, s.topic, s.partition, records)
	if err != nil {
		return err
	}
	from := s.next
	s.next = offset + int64(len(records))
	if err := s.read(ctx, from, offset, func(rec decision.Record) error {
		ledger.Again(rec.Key)
		return nil
	}); err != nil {
		s.next = from // these records are written; the next write looks back again
	}
	return nil
}

// batches cuts changes into requests.
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
