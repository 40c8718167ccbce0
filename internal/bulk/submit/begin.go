package submit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"verdict/internal/broker"
)

// noFlags is what a journal holds for a batch without flags.
const noFlags = "no choices"

// begin finds how far the batch got: by the journal, otherwise by its status in Kafka,
// otherwise it is new. It writes neither of them.
func (s *submission) begin(ctx context.Context) error {
	topic := s.options.Topic
	cluster, err := s.options.Connection.ClusterID(ctx)
	if err != nil {
		return err
	}
	bounds, err := s.options.Connection.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	inKafka, err := readStatus(ctx, s.options.Connection, s.group, topic)
	if ctx.Err() != nil {
		return err
	}
	usable := err == nil
	if !usable {
		s.warnWithoutStatus(err)
	}
	s.entry = s.journal.find(cluster, topic, s.batch.ID)
	if err := s.refuse(cluster, inKafka); err != nil {
		return err
	}
	if s.entry == nil {
		s.entry = s.newEntry(cluster, bounds, inKafka)
		s.journal.add(s.entry)
	}
	for partition, bound := range bounds {
		if !s.entry.Clean && s.entry.Offsets[partition] < bound.First {
			return fmt.Errorf("batch %s: rows sent before it stopped may have been deleted: topic %s partition %d begins at offset %d, but the batch was at %d; find out what is missing (verdict follow %s) and submit that as a batch of its own",
				s.batch.ID, topic, partition, bound.First, s.entry.Offsets[partition], s.batch.ID)
		}
	}
	if usable {
		s.status = &status{Offsets: s.entry.Begin, Size: s.batch.Size(), Content: s.batch.Content}
	}
	return nil
}

// newEntry returns a journal entry for a batch that the journal does not know.
func (s *submission) newEntry(cluster string, bounds map[int]broker.Bound, inKafka *status) *journalEntry {
	e := &journalEntry{
		BatchID: s.batch.ID, Cluster: cluster, Topic: s.options.Topic, Files: s.batch.Paths(), Content: s.batch.Content,
		Flags: cmp.Or(s.batch.Flags(), noFlags), Size: s.batch.Size(), Began: time.Now().UTC(), Offsets: make(map[int]int64),
	}
	if inKafka != nil { // started elsewhere, or its journal is gone
		e.Offsets, e.Began = inKafka.Offsets, time.Time{}
	} else {
		e.Clean = true
		for partition, bound := range bounds {
			e.Offsets[partition] = bound.End
		}
	}
	e.Begin = e.Offsets
	return e
}
