package follow

import (
	"io"
	"time"

	"verdict/internal/broker"
)

// Options say which batch is followed, and where.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// BatchID is the batch. Required.
	BatchID string
	// Decisions are the topics that the batch's decisions may be in. Required.
	Decisions []string
	// Results and DeadLetters are the topics that they end in. Required.
	Results, DeadLetters string
	// Since bounds the search: older records are not looked at, by their
	// timestamps. Zero means all that the topics hold.
	Since time.Time
	// Once looks once and waits for nothing.
	Once bool
	// Timeout bounds the waiting; what is known then is returned, as with Once.
	// 0 means until all are settled.
	Timeout time.Duration
	// Poll is the time between two looks; 0 means 1s.
	Poll time.Duration
	// Report is written one CSV row for each decision at the end; nil: none.
	Report io.Writer
	// Progress is told, while records are read and after each look, how the batch
	// stands; nil: nobody asks. It must be quick.
	Progress func(Summary)
	// Retrying is told what fails and is tried again; nil: nobody asks.
	Retrying func(err error)
}
