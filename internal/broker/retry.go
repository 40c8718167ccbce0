package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// lastingAfter is how long a topic that is unknown, or shorter than what was read
// of it, is given to come back: longer than a move of leaders takes and than the
// transport remembers the cluster.
const lastingAfter = 30 * time.Second

// retry does what may fail in passing until it is done, ctx ends or an error is
// seen that no wait mends. told is called after each failure that is not the
// last; nil means nobody asks.
func retry(ctx context.Context, told func(error), do func() error) error {
	var lasting time.Time // since when an error is seen that is passing only for a while
	for failed := 0; ; failed++ {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case permanent(err):
			return err
		case !lastingly(err):
			lasting = time.Time{}
		case lasting.IsZero():
			lasting = time.Now()
		case time.Since(lasting) > lastingAfter:
			return err
		}
		if told != nil {
			told(err)
		}
		d := 5 * time.Second
		if failed < 6 {
			d = 100 * time.Millisecond << failed
		}
		if !sleep(ctx, d/2+rand.N(d/2)) {
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

// permanent says whether only a person can mend it.
func permanent(err error) bool {
	for _, known := range []error{
		ErrNoTopic, ErrConnectionClosed, kafka.InvalidTopic, kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.OffsetMetadataTooLarge,
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// lastingly says whether an error that is seen for a while is there to stay.
func lastingly(err error) bool {
	return errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoTopic) ||
		errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, kafka.OffsetOutOfRange)
}
