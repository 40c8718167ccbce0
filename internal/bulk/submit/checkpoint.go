package submit

import (
	"context"
	"time"
)

// checkpoint waits until everything sent is acknowledged, then records in the journal
// and the status that the rows up to this one are done. Nothing is sent in the
// meantime, so later rows get the current offsets or higher ones. It records the ends
// that readers see: the end of a log can be cut back when its leader is lost.
func (s *submission) checkpoint(ctx context.Context, row int64, ended bool) error {
	if err := s.inflight.wait(ctx); err != nil {
		return err
	}
	if err := s.batch.CheckUnchanged(); err != nil {
		return err
	}
	bounds, err := s.options.Connection.Bounds(ctx, s.options.Topic)
	if err != nil {
		return err
	}
	offsets := make(map[int]int64, len(bounds))
	for partition, bound := range bounds {
		offsets[partition] = bound.End
	}
	s.entry.Offsets = offsets
	s.recordDone(row)
	if ended {
		s.entry.Ended = time.Now().UTC()
	}
	if err := s.journal.save(); err != nil {
		return err
	}
	return s.renewStatus(ctx, ended)
}

// recordDone records in the journal entry that the rows up to this one are done.
func (s *submission) recordDone(row int64) {
	s.entry.Done = row
	s.entry.Acknowledged = s.options.Acknowledged.Load() - s.stored.count() + s.skipped
}
