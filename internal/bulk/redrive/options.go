package redrive

import (
	"cmp"
	"context"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// DefaultMaxRedrives is the default of Options.MaxRedrives.
const DefaultMaxRedrives = 3

// Options say which dead letters to send back, and how.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// DeadLetters is the topic of the dead letters. Required.
	DeadLetters string
	// Targets are the topics that a dead letter may go back to. Required.
	Targets []string
	// AnyTopic lets dead letters go back to every existing topic. Zero: only to Targets.
	AnyTopic bool
	// Group is the service's consumer group; the groups with the redriven offsets and the
	// lock are named after it. Required.
	Group string
	// Filter chooses among the dead letters. Zero: all.
	Filter Filter
	// Limit is the maximum number of dead letters to send back. Zero: unlimited.
	Limit int64
	// Rate is the number of dead letters to send back per second. Zero: unlimited.
	Rate float64
	// MaxRedrives is how often a decision may be redriven. Zero: DefaultMaxRedrives.
	MaxRedrives int
	// Edit is a JSON merge patch (RFC 7386) for each value. Nil: none.
	Edit []byte
	// AwaitLock is called before each dead letter is sent, and stops the redrive by an
	// error; see Lock.AwaitHeld. Nil: without a lock.
	AwaitLock func(context.Context) error
	// Refused is called by Scan with each dead letter that was chosen and can't go back.
	// Nil: not wanted.
	Refused func(RefusedLetter)
	// Progress is called with the number of dead letters read and sent back. Nil: not
	// wanted.
	Progress func(read, redriven int64)
	// Decode reads a decision for the Filter; with an error, what can be read of it. Nil:
	// decision.Decode, which reads JSON and CloudEvents.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// Retrying is called with each error that is retried, by several goroutines. Nil: not
	// wanted.
	Retrying func(err error)
}

func (o Options) withDefaults() Options {
	o.MaxRedrives = cmp.Or(o.MaxRedrives, DefaultMaxRedrives)
	if o.AwaitLock == nil {
		o.AwaitLock = func(context.Context) error { return nil }
	}
	if o.Refused == nil {
		o.Refused = func(RefusedLetter) {}
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Decode == nil {
		o.Decode = decision.Decode
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	return o
}
