package redrive

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"

	"verdict/internal/decision"
	"verdict/internal/ledger/store"
)

// DefaultMaxRedrives is the default of Options.MaxRedrives.
const DefaultMaxRedrives = 3

// Action is what to do with the dead letters that are chosen.
type Action int

// The actions.
const (
	SendBack Action = iota // to where they came from
	Dismiss                // mark as dealt with, so that they don't go back
	Restore                // undo Dismiss
)

// String returns the action as the audit topic has it.
func (a Action) String() string { return [...]string{"redriven", "dismissed", "restored"}[a] }

// Options say which dead letters to send back or dismiss, and how.
type Options struct {
	// Ledger says where the cluster and the ledger are, for which group, and who does this.
	// No two runs may have the same Author.Run. Required.
	Ledger store.Options
	// Action is what to do. Zero: SendBack.
	Action Action
	// DeadLetters is the topic of the dead letters. Required.
	DeadLetters string
	// Targets are the topics that a dead letter may go back to. Required by SendBack.
	Targets []string
	// NoDecisions are those of the Targets that have no decisions in them: after an Edit
	// their values are not checked.
	NoDecisions []string
	// AnyTopic lets dead letters go back to every existing topic but Kafka's own and those
	// in Never. Zero: only to Targets.
	AnyTopic bool
	// Never are topics that no dead letter goes back to.
	Never []string
	// Filter chooses among the dead letters. Zero: all.
	Filter Filter
	// Limit is the maximum number of dead letters to handle. Zero: unlimited.
	Limit int64
	// Rate is the number of dead letters to handle per second. Zero: unlimited.
	Rate float64
	// MaxRedrives is how often a decision may be redriven. Zero: DefaultMaxRedrives.
	MaxRedrives int
	// Edit is a JSON merge patch (RFC 7386) for each value. Nil: none.
	Edit []byte
	// Overwrite lets the redriven decisions change tasks that stand at the opposite state.
	Overwrite bool
	// Refused is called by Scan with each dead letter that was chosen and can't go back.
	// Nil: not wanted.
	Refused func(RefusedLetter)
	// Progress is called with the number of dead letters read and handled. Nil: not wanted.
	Progress func(read, handled int64)
	// Decode reads a decision, for the Filter and after an Edit; with an error, what can be
	// read of it. Nil: decision.Decode, which reads JSON and CloudEvents.
	Decode func(rec *decision.Record) (decision.Decision, error)
	// Retrying is called with each error that is retried, by several goroutines. Nil: not
	// wanted.
	Retrying func(err error)
}

func (o Options) withDefaults() Options {
	o.MaxRedrives = cmp.Or(o.MaxRedrives, DefaultMaxRedrives)
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
	o.Ledger.Retrying = o.Retrying
	return o
}

// editHash identifies the patch; empty: there is none.
func (o *Options) editHash() string {
	if o.Edit == nil {
		return ""
	}
	sum := sha256.Sum256(o.Edit)
	return hex.EncodeToString(sum[:])
}
