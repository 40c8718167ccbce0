package submit

import (
	"context"
	"fmt"
	"time"
)

// begin finds where the batch stands: by the journal, else by its mark in Kafka,
// else it is new. It changes neither unless it is new or goes on by its mark.
func (s *submission) begin(ctx context.Context) error {
	cluster, err := s.o.Connection.ClusterID(ctx)
	if err != nil {
		return err
	}
	bounds, err := s.o.Connection.Bounds(ctx, s.o.Topic)
	if err != nil {
		return err
	}
	mark, err := readStatus(ctx, s.o.Connection, s.group, s.o.Topic)
	if ctx.Err() != nil {
		return err
	}
	s.unmarked(err)
	canMark := err == nil
	known := s.journal.find(cluster, s.o.Topic, s.batch.ID)
	if err := s.refuse(cluster, known, mark); err != nil {
		return err
	}
	if known == nil {
		known = &journalBatch{
			BatchID: s.batch.ID, Cluster: cluster, Topic: s.o.Topic, Files: s.batch.Paths(), Content: s.batch.Content,
			Choices: s.batch.Choices(), Size: s.batch.Size(), Began: time.Now().UTC(), Offsets: make(map[int]int64),
		}
		if mark != nil { // begun elsewhere, or its journal is gone
			known.Offsets, known.Began = mark.Offsets, time.Time{}
		} else {
			known.Clean = true
			for partition, bound := range bounds {
				known.Offsets[partition] = bound.End
			}
		}
		known.Begin = known.Offsets
		s.journal.add(known)
	}
	for partition, bound := range bounds {
		if !known.Clean && known.Offsets[partition] < bound.First {
			return fmt.Errorf("batch %s: what was sent of it before it stopped may be deleted by now: topic %s partition %d begins at offset %d, and the batch was at %d; find out what is missing (verdict follow %s) and submit that as a batch of its own",
				s.batch.ID, s.o.Topic, partition, bound.First, known.Offsets[partition], s.batch.ID)
		}
	}
	s.entry = known
	if canMark {
		s.mark = &status{Offsets: known.Begin, Size: s.batch.Size(), Content: s.batch.Content}
	}
	return nil
}
