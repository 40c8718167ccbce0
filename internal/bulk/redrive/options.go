package redrive

import (
	"context"

	"verdict/internal/broker"
)

// Options say which dead letters go back, and how.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// DeadLetters is the topic of the dead letters. Required.
	DeadLetters string
	// Targets are the topics that a dead letter may go back to. One that names
	// another is refused, since whoever can write dead letters could else let
	// Verdict write anything anywhere. Required.
	Targets []string
	// AnyTopic lets a dead letter go back to any topic that there is.
	AnyTopic bool
	// Group is the service's consumer group, by which the redrive's own are named.
	Group string
	// Filter chooses among the dead letters; its zero value means all.
	Filter Filter
	// Limit is the largest number that goes back; 0 means all.
	Limit int64
	// Rate is how many go back in a second; 0 means as fast as Kafka takes them.
	Rate float64
	// MaxRedrives is how often a decision may be redriven; one that was so often
	// stays. 0 means 3.
	MaxRedrives int
	// Edit is a JSON merge patch (RFC 7386) for each value; nil means none.
	Edit []byte
	// AwaitLock is asked before each dead letter goes back whether it still may; nil
	// means always. See Lock.
	AwaitLock func(context.Context) error
	// Refused is told each dead letter that was chosen and can't go back, and
	// why; nil: nobody asks. It is called once for each by Survey.
	Refused func(RefusedLetter)
	// Progress is told now and then how many were looked at, and how many went
	// back; nil: nobody asks.
	Progress func(looked, redriven int64)
	// Retrying is told what fails and is tried again; nil: nobody asks. Calls are
	// made by several goroutines.
	Retrying func(err error)
}
