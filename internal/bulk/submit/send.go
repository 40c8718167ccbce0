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

// send sends the rows that are not in the topic, with a last checkpoint at the end.
func (s *submission) send(ctx context.Context) error {
	ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	s.lastRow = s.entry.Done
	s.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: s.options.Connection.Client(), Linger: 5 * time.Millisecond, MaxPendingBytes: 16 << 20, AlreadyStored: s.alreadyStored,
		OnHealthChange: func(err error) {
			if err != nil {
				s.options.Log.Warn("decisions can't be published; retrying", "err", err)
			} else {
				s.options.Log.Warn("decisions can be published again")
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
	// Let requests in flight finish. If all of them do, the journal can say so, and the
	// next call need not scan the topic.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	closed := s.publisher.Close(last)
	if err == nil || closed != nil || s.inflight.failed() != nil {
		return errors.Join(err, closed)
	}
	s.recordDone(s.lastRow)
	s.entry.Clean = true
	return errors.Join(err, s.journal.save())
}

// sendRows gives the rows to the publisher, with checkpoints in between.
func (s *submission) sendRows(ctx context.Context) error {
	var limiter *rate.Limiter
	if s.options.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(s.options.Rate), max(1, int(s.options.Rate/20)))
	}
	since, began := 0, time.Now()
	return s.batch.Each(ctx, func(r *rows.CheckedRow) error {
		if r.Number <= s.entry.Done {
			return nil
		}
		// Before the row, not after it: publishing the last one may have waited for Kafka
		// so long that another machine took the batch over, which the checkpoint notices.
		if since++; since > s.options.CheckpointRows || time.Since(began) >= s.options.CheckpointEvery {
			if err := s.checkpoint(ctx, s.lastRow, false); err != nil {
				return err
			}
			since, began = 1, time.Now()
		}
		switch {
		case !r.ToSend():
		case s.stored.has(r.Number):
			s.skipped++
		default:
			if limiter != nil {
				// Not limiter.Wait, which fails at once if the deadline of ctx would pass.
				if d := limiter.Reserve().Delay(); d > 0 {
					if err := retry.Sleep(ctx, d); err != nil {
						return err
					}
				}
			}
			if err := s.publish(ctx, r); err != nil {
				return err
			}
		}
		s.lastRow = r.Number
		return nil
	})
}

// publish gives one row to the publisher.
func (s *submission) publish(ctx context.Context, r *rows.CheckedRow) error {
	if err := s.inflight.failed(); err != nil {
		return err
	}
	rec := r.Record(s.options.Topic)
	rec.Headers = decision.BatchPlace{ID: s.batch.ID, Line: r.Number, Size: s.batch.Size()}.Headers()
	position := r.Where()
	s.inflight.add()
	err := s.publisher.Publish(ctx, rec, func(err error) {
		if err == nil {
			s.sent.Add(1)
			s.options.Acknowledged.Add(1)
		} else if !errors.Is(err, broker.ErrPublisherClosed) {
			err = fmt.Errorf("%s: %w", position, err)
		}
		s.inflight.done(err)
	})
	if err != nil {
		s.inflight.done(nil) // the publisher did not accept it
	}
	return err
}
