package submit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/retry"
)

// send sends the rows that are not there.
func (s *submission) send(ctx context.Context) error {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	s.passed = s.entry.Done
	s.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: s.o.Connection.Client(), Linger: 5 * time.Millisecond, MaxPendingBytes: 16 << 20, Landed: s.alreadyStored,
		OnState: func(failing bool, err error) {
			if failing {
				s.o.Log.Warn("Kafka does not take the decisions; trying again", "err", err)
			} else {
				s.o.Log.Warn("Kafka takes the decisions again")
			}
		},
	})
	err := s.sendRows(ctx)
	if err == nil {
		err = s.checkpoint(ctx, s.batch.Rows, true)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	// What is under way goes on for a while, so that the next call has less to look
	// for.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	closed := s.publisher.Close(last)
	if err == nil || closed != nil || s.inflight.failed() != nil {
		return errors.Join(err, closed)
	}
	s.note(s.passed)
	s.entry.Clean = true
	return errors.Join(err, s.journal.save())
}

// rows gives the rows to the publisher, with a checkpoint now and then.
func (s *submission) sendRows(ctx context.Context) error {
	var limiter *rate.Limiter
	if s.o.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(s.o.Rate), max(1, int(s.o.Rate/20)))
	}
	since, begun := 0, time.Now()
	return s.batch.Each(ctx, func(r *rows.CheckedRow) error {
		if r.Number <= s.entry.Done {
			return nil
		}
		// Before the row, and not behind it: after a long wait for Kafka it is seen
		// here whether another machine has taken the batch over.
		if since++; since > s.o.Checkpoint || time.Since(begun) >= s.o.CheckpointEvery {
			if err := s.checkpoint(ctx, s.passed, false); err != nil {
				return err
			}
			since, begun = 1, time.Now()
		}
		switch {
		case !r.ToSend():
		case s.there.has(r.Number):
			s.found++
		default:
			if limiter != nil {
				// Not its Wait, which fails at once where a deadline would come first.
				if err := retry.Sleep(ctx, limiter.Reserve().Delay()); err != nil {
					return err
				}
			}
			if err := s.publish(ctx, r); err != nil {
				return err
			}
		}
		s.passed = r.Number
		return nil
	})
}

func (s *submission) publish(ctx context.Context, r *rows.CheckedRow) error {
	if err := s.inflight.failed(); err != nil {
		return err
	}
	rec := r.Record(s.o.Topic)
	rec.Headers = decision.BatchPlace{ID: s.batch.ID, Line: r.Number, Size: s.batch.Size()}.Headers()
	position := r.Position()
	s.inflight.add()
	err := s.publisher.Publish(ctx, rec, func(err error) {
		if err == nil {
			s.sent.Add(1)
			s.o.Acknowledged.Add(1)
		} else if !errors.Is(err, broker.ErrPublisherClosed) {
			err = fmt.Errorf("%s: %w", position, err)
		}
		s.inflight.done(err)
	})
	if err != nil {
		s.inflight.done(nil) // it is not under way
	}
	return err
}
