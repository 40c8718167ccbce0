package submit

import (
	"log/slog"
	"sync/atomic"
	"time"

	"verdict/internal/bulk/remembered"
	"verdict/internal/ledger/store"
)

// Options say where and how a batch is sent.
type Options struct {
	// Ledger says where the ledger is, and who submits. Required.
	Ledger store.Options
	// Topic is the topic to send to: that of the batch's lane or, if it needs approval, the one
	// in which it waits. Required.
	Topic string
	// Fingerprints is the topic in which the rows of each batch are remembered. Empty: they
	// are not.
	Fingerprints string
	// Asked are the rows of the batch, to find those that were sent before. Nil: it is not
	// looked for them.
	Asked *remembered.Asked
	// For is the topic of the lane, if the batch needs approval to go there. Empty: it needs
	// none.
	For string
	// StopAt is the share of dead letters at which the batch is held by itself. Zero: never.
	StopAt float64
	// Rate is the number of decisions to send per second. Zero: unlimited.
	Rate float64
	// ChunkRows is the largest number of decisions in one transaction. Zero: 20,000.
	ChunkRows int
	// OnStart is called before the first decision is sent, with the number of decisions
	// that are in the topic already. Nil: not wanted.
	OnStart func(earlier int64)
	// Acknowledged receives the number of the batch's decisions that are committed as it
	// grows, those of earlier calls included. Nil: not wanted.
	Acknowledged *atomic.Int64
	// Log receives warnings. Required.
	Log *slog.Logger
}

// Summary is what a call of Submit did.
type Summary struct {
	Earlier int64     // decisions that were in the topic before
	Sent    int64     // decisions that this call sent, all committed
	Began   time.Time // when the batch began, by the clock of the machine that began it; zero: not known
}

func (o Options) withDefaults() Options {
	if o.ChunkRows == 0 {
		o.ChunkRows = 10_000
	}
	if o.OnStart == nil {
		o.OnStart = func(int64) {}
	}
	if o.Acknowledged == nil {
		o.Acknowledged = new(atomic.Int64)
	}
	return o
}
