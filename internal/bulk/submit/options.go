package submit

import (
	"log/slog"
	"sync/atomic"
	"time"

	"verdict/internal/broker"
)

// Options say where and how a batch is sent.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// Topic is the topic of the batch's lane. Required.
	Topic string
	// Group is the service's consumer group; the group with the batch's status is named
	// after it. Required.
	Group string
	// Journal is the path of the journal. Required.
	Journal string
	// Host is the name of this machine, recorded in the batch's status. Required.
	Host string
	// Rate is the number of decisions to send per second. Zero: unlimited.
	Rate float64
	// CheckpointRows is the number of rows between two checkpoints. Zero: 50,000.
	CheckpointRows int
	// CheckpointEvery is the longest time between two checkpoints. Zero: 5s.
	CheckpointEvery time.Duration
	// Settle is how long a submit that continues a batch waits before it reads the topic,
	// for requests of its predecessor that the broker had not read when that was killed.
	// Zero: 2s.
	Settle time.Duration
	// OnStart is called before the first decision is sent, with the number of decisions
	// that are in the topic already. Nil: not wanted.
	OnStart func(earlier int64)
	// Acknowledged receives the number of the batch's acknowledged decisions as it grows,
	// those of earlier calls included. Nil: not wanted.
	Acknowledged *atomic.Int64
	// Log receives warnings. Required.
	Log *slog.Logger
}

// Summary is what a call of Submit did.
type Summary struct {
	Earlier int64     // decisions that were in the topic before
	Sent    int64     // decisions that this call sent, all acknowledged
	Began   time.Time // when the batch began, by this machine's clock; zero: not known
}

func (o Options) withDefaults() Options {
	if o.CheckpointRows == 0 {
		o.CheckpointRows = 50_000
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 5 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Second
	}
	if o.OnStart == nil {
		o.OnStart = func(int64) {}
	}
	if o.Acknowledged == nil {
		o.Acknowledged = new(atomic.Int64)
	}
	return o
}
