package submit

import (
	"context"
	"fmt"
	"time"
)

// unmarked warns that a batch has no mark.
func (s *submission) unmarked(err error) {
	if err != nil {
		s.o.Log.Warn("the batch can't be marked in Kafka: that it was submitted before is noticed by the journal alone", "err", err)
	}
}

// marks writes the mark, as a sign of life or with the end. A batch can do without;
// but where the mark has become another machine's, that one goes on with the batch.
func (s *submission) marks(ctx context.Context, ended bool) error {
	if s.mark == nil {
		return nil
	}
	contact, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	now, err := readStatus(contact, s.o.Connection, s.group, s.o.Topic)
	if err == nil {
		if err := s.takenOver(now); err != nil {
			return err
		}
	}
	s.mark.At, s.mark.Host, s.mark.Ended = time.Now(), s.o.Host, ended
	if err == nil {
		err = s.mark.write(contact, s.o.Connection, s.group, s.o.Topic)
	}
	if ctx.Err() == nil && err != nil {
		s.unmarked(err)
		s.mark = nil
	}
	return nil
}

// takenOver is an error if the mark is another machine's.
func (s *submission) takenOver(now *status) error {
	if now == nil || now.Host == s.o.Host || time.Since(now.At).Abs() >= signOfLife && !now.Ended {
		return nil
	}
	return fmt.Errorf("batch %s was taken over by %s, by its mark in Kafka of %v ago; follow it there", s.batch.ID, now.Host, time.Since(now.At).Round(time.Second))
}
