package control

import (
	"context"

	"verdict/internal/decision"
	"verdict/internal/ledger/store"
)

// Options say what the group is whose state is read.
type Options struct {
	// Ledger is where its ledger is. Required. Its Author is named where the result of a
	// batch is noted; one without an actor notes nothing.
	Ledger store.Options
	// Lanes are the topics that it reads. Required.
	Lanes []Lane
	// Latest says that a partition without a commit is read from its end, not from its
	// first record.
	Latest bool
	// Results and DeadLetters are the topics in which decisions end. Required.
	Results, DeadLetters string
	// Rate is the configured rate in calls a second; 0: unlimited.
	Rate float64
	// Decode reads a decision; nil: decision.Decode, which reads JSON and CloudEvents.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// WentBack is follow.Options.WentBack.
	WentBack func(ctx context.Context) (func(letter decision.Position) bool, error)
	// Progress is called now and then while batches are counted, with the records read so far.
	// Nil: not wanted.
	Progress func(read int64)
	// Retrying is called with each error that is retried. Nil: not wanted.
	Retrying func(err error)
}

// Lane is a lane and its topic.
type Lane struct{ Name, Topic string }

func (o *Options) inputs() []string {
	topics := make([]string, len(o.Lanes))
	for i, l := range o.Lanes {
		topics[i] = l.Topic
	}
	return topics
}
