package prove

import (
	"context"

	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/ledger/store"
)

// Options say of which batch to make evidence, and from what.
type Options struct {
	// Ledger is the ledger, with whoever makes the evidence as its Author and the key that
	// signs it as Sign. Required.
	Ledger store.Options
	// BatchID is the batch. Required.
	BatchID string
	// Decisions are the topics that may hold its decisions where the ledger does not know
	// the batch. Required.
	Decisions []string
	// Results and DeadLetters are the topics in which decisions end. Required.
	Results, DeadLetters string
	// Version is Verdict's own.
	Version string
	// Dir is the folder for temporary files, which take about 3 KB a decision. Empty: the
	// system's.
	Dir string
	// Decode reads a decision; with an error, what can be read of it. Nil: decision.Decode.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// WentBack returns what reports whether a dead letter went back, by the ledger. Nil: it is
	// not known, and each may have.
	WentBack func(ctx context.Context) (func(letter decision.Position) bool, error)
	// Progress is called while records are read. It must be quick. Nil: not wanted.
	Progress func(follow.Summary)
	// Refused is called with each record of the ledger that counts for nothing. Nil: not
	// wanted.
	Refused func(err error)
}
