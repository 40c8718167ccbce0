package submit

import (
	"context"
	"time"
)

// checkpoint waits until all that was sent is acknowledged, and writes down that
// the rows up to this one are done. Nothing is sent meanwhile, so rows behind it
// will have the offsets of now or later: an end of a log could be cut back when its
// leader is lost, what readers see can not.
func (s *submission) checkpoint(ctx context.Context, row int64, ended bool) error {
	if err := s.inflight.wait(ctx); err != nil {
		return err
	}
	if err := s.batch.CheckUnchanged(); err != nil {
		return err
	}
	bounds, err := s.o.Connection.Bounds(ctx, s.o.Topic)
	if err != nil {
		return err
	}
	offsets := make(map[int]int64, len(bounds))
	for partition, bound := range bounds {
		offsets[partition] = bound.End
	}
	s.entry.Offsets = offsets
	s.note(row)
	if ended {
		s.entry.Ended = time.Now().UTC()
	}
	if err := s.journal.save(); err != nil {
		return err
	}
	return s.marks(ctx, ended)
}

// note notes that the rows up to this one are done.
func (s *submission) note(row int64) {
	s.entry.Done = row
	s.entry.Acknowledged = s.o.Acknowledged.Load() - s.there.count() + s.found
}
