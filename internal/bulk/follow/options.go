package follow

import (
	"context"
	"io"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
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
	// Batch is called in each round and returns what the ledger says of the batch, which
	// takes the place of Runs; nil: it does not know the batch. Nil: there is no ledger.
	Batch func(ctx context.Context) (*ledger.Batch, error)
	// Group is the service's consumer group. What it has not committed is not missing, it
	// waits. Empty: whatever is not settled is missing.
	Group string
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
	// WentBack returns what reports whether a dead letter went back, by the ledger. It is
	// asked about copies that were edited. Nil: it is not known, and each may have.
	WentBack func(ctx context.Context) (func(letter decision.Position) bool, error)
	// Retrying is called with each error that is retried. Nil: not wanted.
	Retrying func(err error)
}
