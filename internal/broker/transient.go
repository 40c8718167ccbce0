package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"verdict/internal/decision"
	"verdict/internal/retry"
)

// patience is how long a topic that is unknown, or that ends before an offset
// that was already read, is given to come back. It is longer than leaders take
// to move, and than the transport caches the cluster's metadata.
const patience = 30 * time.Second

// transientRetry is the back-off of retryTransient.
var transientRetry = retry.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// endingRetry is the same while a transaction ends, which takes a few milliseconds: the
// coordinator answers before it has told the partitions' leaders.
var endingRetry = retry.Policy{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}

// retryTransient calls do until it succeeds, ctx ends, or it returns an error
// that waiting cannot fix. It calls onRetry after each failure but the last;
// nil: no calls.
func retryTransient(ctx context.Context, onRetry func(error), do func() error) error {
	var since time.Time // of the first in a row of errors that may be permanent
	for failed := 1; ; failed++ {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case isPermanent(err):
			return err
		case !mayBePermanent(err):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > patience:
			return err
		}
		if onRetry != nil {
			onRetry(err)
		}
		policy := transientRetry
		if errors.Is(err, kafka.ConcurrentTransactions) {
			policy = endingRetry
		}
		if retry.Sleep(ctx, policy.Backoff(failed)) != nil {
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

// isPermanent reports whether waiting can't help: only a person can fix the cause of err,
// or a transaction has failed.
func isPermanent(err error) bool {
	for _, known := range []error{
		ErrNoTopic, ErrConnectionClosed, kafka.InvalidTopic, kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.OffsetMetadataTooLarge,
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
		ErrFenced, kafka.TransactionalIDAuthorizationFailed, kafka.InvalidTransactionTimeout, kafka.InvalidTransactionState,
		kafka.OutOfOrderSequenceNumber, kafka.DuplicateSequenceNumber, kafka.UnknownProducerId,
		decision.ErrTooLarge, kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.PolicyViolation,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// mayBePermanent reports whether err counts as permanent if it lasts for a
// while.
func mayBePermanent(err error) bool {
	return errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoTopic) ||
		errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, kafka.OffsetOutOfRange)
}
