package follow

import (
	"time"

	"verdict/internal/decision"
)

// Summary says how a batch stands. Each decision counts once, by its latest copy: one
// that was redriven is unsettled until its last copy is settled.
type Summary struct {
	// Size is the number of decisions in the batch, according to its records. Zero: they
	// don't say.
	Size int64
	// Submitted is the number of decisions found.
	Submitted int64
	// Outcomes counts decisions settled with a result, Reasons dead-lettered ones. An
	// outcome or reason written by a newer version counts as "other".
	Outcomes map[decision.Outcome]int64
	Reasons  map[decision.Reason]int64
	// Settled counts decisions with a result or a dead letter, DeadLettered only the
	// latter.
	Settled, DeadLettered int64
	// Missing counts decisions without a result or dead letter: those found and not
	// settled, and those in Size that were not found. Those that wait are not among them;
	// which of those found do is known only at the end.
	Missing int64
	// Waiting counts decisions whose turn has not come: the batch's submit has not sent them
	// yet, or the group has not committed them.
	Waiting int64
	// NotFound is the part of Missing that was not found among the decisions.
	NotFound int64
	// Redriven counts decisions that were redriven at least once.
	Redriven int64
	// Repeated counts records that repeat a line of the batch. They are counted nowhere
	// else.
	Repeated int64
	// Rate is the number of decisions settled per second in the last minute. Zero: not
	// known yet.
	Rate float64
	// Left is the time left at that rate. Zero: not known.
	Left time.Duration
	// Read is the number of records read so far.
	Read int64
	// Open are the first decisions that were found and are missing, at most MaxOpen.
	// Set only at the end.
	Open []OpenDecision
}

// MaxOpen is the maximum number of decisions in Summary.Open.
const MaxOpen = 20

// OpenDecision is a decision that is not settled.
type OpenDecision struct {
	ID     string
	Line   int64 // zero: not known
	Origin decision.Position
}

// Done reports whether every decision of the batch is settled.
func (s *Summary) Done() bool { return s.Missing == 0 && s.Waiting == 0 && s.Submitted > 0 }

// otherName stands for outcomes and reasons that this version does not know.
const otherName = "other"

// summary returns how the batch stands now, without Open.
func (f *follower) summary() Summary {
	t := f.tally
	s := Summary{
		Size: f.size, Submitted: t.members, Settled: t.settled(), Redriven: int64(len(t.latest)), Repeated: t.repeated, Read: f.read,
		Outcomes: make(map[decision.Outcome]int64), Reasons: make(map[decision.Reason]int64),
	}
	for i, outcome := range decision.Outcomes {
		setCount(s.Outcomes, outcome, t.counts[settledAs+status(i)])
	}
	setCount(s.Outcomes, otherName, t.counts[settledOther])
	for i, reason := range decision.Reasons {
		setCount(s.Reasons, reason, t.counts[deadAs+status(i)])
	}
	setCount(s.Reasons, otherName, t.counts[deadOther])
	for _, n := range s.Reasons {
		s.DeadLettered += n
	}
	notFound := max(s.Size-s.Submitted, 0)
	unsent := min(notFound, f.unsent)
	s.NotFound, s.Waiting = notFound-unsent, f.waiting+unsent
	s.Missing = t.counts[unsettled] - f.waiting + s.NotFound
	s.Rate, s.Left = f.pace.rate(s.Missing + s.Waiting)
	return s
}

// setCount sets a count that is not zero.
func setCount[K comparable](counts map[K]int64, key K, n int64) {
	if n > 0 {
		counts[key] = n
	}
}
