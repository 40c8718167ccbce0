package follow

import (
	"io"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// Options say which batch to follow, and where.
type Options struct {
	// Connection reaches the cluster. Required.
	Connection *broker.Connection
	// BatchID is the batch. Required.
	BatchID string
	// Decisions are the topics that may hold the batch's decisions. Required.
	Decisions []string
	// Results and DeadLetters are the topics in which decisions end. Required.
	Results, DeadLetters string
	// Runs are those that wrote the batch's decisions, by the ledger: a record belongs to the
	// batch because it names one of them in decision.HeaderRun. Nil: by the batch that it
	// names.
	Runs []string
	// Begin is where the topics of decisions end before the batch begins, by partition. Nil:
	// read from Since.
	Begin map[string]map[int]int64
	// Since skips records whose timestamps are older. Zero: read all that the topics
	// hold.
	Since time.Time
	// Once reads one round and returns.
	Once bool
	// Timeout bounds the wait; Follow then returns what it knows, as with Once. Zero:
	// wait until every decision is settled.
	Timeout time.Duration
	// Poll is the time between two rounds. Zero: 1s.
	Poll time.Duration
	// Report receives one CSV row for each decision at the end. Nil: no report.
	Report io.Writer
	// Result receives, at the end, the result that counts for each decision that has one, in
	// the order of the partitions of the results. An error ends Follow. Nil: not wanted.
	Result func(r *decision.Result) error
	// Progress is called while records are read and after each round. It must be quick.
	// Nil: not wanted.
	Progress func(Summary)
	// Decode reads a decision; with an error, what can be read of it. Nil: decision.Decode,
	// which reads JSON and CloudEvents.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// Retrying is called with each error that is retried. Nil: not wanted.
	Retrying func(err error)
}
