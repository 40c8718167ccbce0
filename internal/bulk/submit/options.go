package submit

import (
	"log/slog"
	"sync/atomic"
	"time"

	"verdict/internal/broker"
)

// Options say where a batch goes.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// Topic is the topic of the batch's lane. Required.
	Topic string
	// Group is the service's consumer group, by which the batch's mark is named
	// (statusGroup). Required.
	Group string
	// Journal is the path of the journal. Required.
	Journal string
	// Host is the name of this machine, for the mark. Required.
	Host string
	// Rate is decisions per second; zero: as fast as Kafka takes them.
	Rate float64
	// Checkpoint is how many rows, and CheckpointEvery how much time, lie between
	// two checkpoints, at which all that was sent is acknowledged and the journal is
	// written. A submit that goes on reads the topic from the last one. Zero: 50,000
	// and 5 s.
	Checkpoint      int
	CheckpointEvery time.Duration
	// Settle is how long a submit that goes on waits before it looks for what its
	// predecessor has left in the topic: a request that this one had sent when it was
	// killed may still lie before the broker. Zero: 2 s.
	Settle time.Duration
	// Begins is called before the first decision is sent, with the number of those
	// that are in the topic already. Nil: nobody asks.
	Begins func(before int64)
	// Acknowledged is the number of decisions of the batch that are acknowledged,
	// those before this call included, as it grows. Nil: nobody asks.
	Acknowledged *atomic.Int64
	// Log takes what is worth a warning on the way. Required.
	Log *slog.Logger
}

// Summary is what a submit did.
type Summary struct {
	Before int64     // decisions that were in the topic before
	Sent   int64     // and that it sent, each acknowledged
	Began  time.Time // when the batch began, by this machine's clock; zero: not known
}

func (o Options) withDefaults() Options {
	if o.Checkpoint == 0 {
		o.Checkpoint = 50_000
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 5 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Second
	}
	if o.Begins == nil {
		o.Begins = func(int64) {}
	}
	if o.Acknowledged == nil {
		o.Acknowledged = new(atomic.Int64)
	}
	return o
}
