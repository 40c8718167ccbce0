package submit

import (
	"context"
	"fmt"
	"time"
)

// renewStatus writes the batch's status, at a checkpoint or at the end. A batch can do
// without one. But if another machine wrote the status, it has taken the batch over, and
// the error ends this submit.
func (s *submission) renewStatus(ctx context.Context, ended bool) error {
	if s.status == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	current, err := readStatus(bounded, s.options.Connection, s.group, s.options.Topic)
	if err == nil {
		if err := s.checkOwner(current); err != nil {
			return err
		}
	}
	s.status.At, s.status.Host, s.status.Ended = time.Now(), s.options.Host, ended
	if err == nil {
		err = s.status.write(bounded, s.options.Connection, s.group, s.options.Topic)
	}
	if ctx.Err() == nil && err != nil {
		s.warnWithoutStatus(err)
		s.status = nil
	}
	return nil
}

// checkOwner returns an error if the current status says that another machine sends or
// has sent the batch.
func (s *submission) checkOwner(current *status) error {
	if current == nil || current.Host == s.options.Host || time.Since(current.At).Abs() >= statusTimeout && !current.Ended {
		return nil
	}
	return fmt.Errorf("batch %s was taken over by %s, whose status in Kafka is %v old; let it finish there", s.batch.ID, current.Host, time.Since(current.At).Round(time.Second))
}

// warnWithoutStatus warns that the batch's status can't be kept in Kafka.
func (s *submission) warnWithoutStatus(err error) {
	s.options.Log.Warn("the batch's status can't be kept in Kafka; only the journal will know that the batch was submitted", "err", err)
}
