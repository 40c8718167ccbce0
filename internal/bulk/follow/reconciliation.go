package follow

import (
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// Term is one term of a reconciliation.
type Term struct {
	Name  string
	Count int64
}

// Total returns the number of decisions in the batch: what the batch states, or
// what was found where that is more.
func (s *Summary) Total() int64 { return max(s.Size, s.Submitted) }

// Terms returns the terms that add up to Total. Every decision is in exactly one of
// them. There is a term for each of decision.Outcomes, one for the missing
// decisions, one for those that wait, if any do, and, where a newer version wrote outcomes that this one does not know,
// one for those.
func (s *Summary) Terms() []Term {
	var terms []Term
	for _, outcome := range decision.Outcomes {
		count := s.Outcomes[outcome]
		if outcome == decision.DeadLettered {
			count = s.DeadLettered
		}
		terms = append(terms, Term{termName(outcome), count})
	}
	terms = append(terms, Term{missingName, s.Missing})
	if s.Waiting > 0 {
		terms = append(terms, Term{waitingName, s.Waiting})
	}
	var unknown []Term
	for outcome, count := range s.Outcomes {
		if !slices.Contains(decision.Outcomes[:], outcome) {
			unknown = append(unknown, Term{string(outcome), count})
		}
	}
	slices.SortFunc(unknown, func(a, b Term) int { return strings.Compare(a.Name, b.Name) })
	return append(terms, unknown...)
}

// termName returns the name of an outcome's term: the outcome, except for the
// plural that scripts know.
func termName(o decision.Outcome) string {
	if o == decision.Duplicate {
		return "duplicates"
	}
	return string(o)
}

// Reconciliation returns the line in which the terms add up to the submitted
// decisions.
func (s *Summary) Reconciliation() string {
	var b strings.Builder
	fmt.Fprintf(&b, "submitted=%d", s.Total())
	for _, t := range s.Terms() {
		fmt.Fprintf(&b, " %s=%d", t.Name, t.Count)
	}
	return b.String()
}
