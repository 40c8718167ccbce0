package follow

import (
	"time"

	"verdict/internal/decision"
)

// Summary is how a batch stands. Each decision counts once, by its latest fate:
// one that was redriven is unsettled until its last copy is settled.
type Summary struct {
	// Size is the number of decisions that the batch has by its own word; 0: it
	// does not say, and then Submitted is all that was found.
	Size int64
	// Submitted is the number of decisions that were found.
	Submitted int64
	// Outcomes are those settled with a result; Reasons those dead-lettered. What a
	// newer version may have written counts as "other".
	Outcomes map[decision.Outcome]int64
	Reasons  map[decision.Reason]int64
	// Completed and DeadLettered sum up: every settled one is in one of them.
	Settled, DeadLettered int64
	// Missing are those without a result or a dead letter: submitted and not
	// settled, or said to be in the batch and not found.
	Missing int64
	// NotFound are those of Missing that were not found among the decisions.
	NotFound int64
	// Redriven are the decisions that were redriven at least once.
	Redriven int64
	// Again are records that repeat another of the batch, and are not counted.
	Again int64
	// Rate is decisions settled in a second, of late; 0: not known yet.
	Rate float64
	// Left is the time left by Rate; 0: not known.
	Left time.Duration
	// Read is the number of records that were looked at so far.
	Read int64
	// Open are the first of those that were found and are not settled, at most
	// MaxOpen. Only at the end.
	Open []OpenDecision
}

// MaxOpen is how many unsettled decisions a Summary lists.
const MaxOpen = 20

// OpenDecision is a decision of a batch that is not settled.
type OpenDecision struct {
	ID     string
	Line   int64 // 0: not known
	Origin decision.Origin
}

// Done says whether every decision of the batch is settled.
func (s *Summary) Done() bool { return s.Missing == 0 && s.Submitted > 0 }

// otherName is the name of an outcome or reason that this version does not know.
const otherName = "other"

func (f *follower) sum() Summary {
	l := f.tally
	s := Summary{
		Size: f.size, Submitted: l.members, Settled: l.settled(), Redriven: int64(len(l.latest)), Again: l.again, Read: f.read,
		Outcomes: make(map[decision.Outcome]int64), Reasons: make(map[decision.Reason]int64),
	}
	for i, outcome := range decision.Outcomes {
		add(s.Outcomes, outcome, l.counts[settledAs+code(i)])
	}
	add(s.Outcomes, otherName, l.counts[settledOther])
	for i, reason := range decision.Reasons {
		add(s.Reasons, reason, l.counts[deadAs+code(i)])
		s.DeadLettered += l.counts[deadAs+code(i)]
	}
	add(s.Reasons, otherName, l.counts[deadOther])
	s.DeadLettered += l.counts[deadOther]
	s.NotFound = max(s.Size-s.Submitted, 0)
	s.Missing = l.counts[unsettled] + s.NotFound
	s.Rate, s.Left = f.rate(s.Missing)
	return s
}

func add[K comparable](to map[K]int64, key K, n int64) {
	if n > 0 {
		to[key] = n
	}
}
