package follow

import (
	"fmt"
	"slices"
	"testing"

	"verdict/internal/decision"
)

// endings returns, for each way in which a row of a batch can stand, the name of the
// term that it must count under and how to bring it about. decision.Outcomes and
// decision.Reasons provide the cases, so that a new one is tested without a change here.
func endings() []ending {
	all := []ending{
		{"missing", "unsettled", func(*tally, decision.Position) {}},
		{"missing", "redriven", func(t *tally, o decision.Position) {
			t.settle(o, deadStatus(decision.Rejected))
			t.addCopy(at(o.Offset+1000), redrivenCopy{of: o, redrives: 1})
		}},
		{"completed", "redriven and completed", func(t *tally, o decision.Position) {
			t.settle(o, deadStatus(decision.Rejected))
			t.addCopy(at(o.Offset+2000), redrivenCopy{of: o, redrives: 1})
			t.settle(at(o.Offset+2000), resultStatus(decision.Completed))
		}},
	}
	settled := func(term, name string, as status) {
		all = append(all, ending{term, name, func(t *tally, o decision.Position) { t.settle(o, as) }})
	}
	for _, outcome := range decision.Outcomes {
		if outcome != decision.DeadLettered {
			settled(termName(outcome), "result "+string(outcome), resultStatus(outcome))
		}
	}
	for _, reason := range decision.Reasons {
		settled("dead_lettered", "dead letter "+string(reason), deadStatus(reason))
	}
	settled("other", "result of a newer version", resultStatus("postponed"))
	settled("other", "result that says dead_lettered", resultStatus(decision.DeadLettered))
	settled("dead_lettered", "dead letter of a newer version", deadStatus("eaten"))
	return all
}

type ending struct {
	term, name string
	bring      func(*tally, decision.Position)
}

// summarize returns the summary of a batch of this size whose found rows end so.
func summarize(size int, found ...ending) Summary {
	f := &follower{tally: newTally(), size: int64(size)}
	for i, e := range found {
		f.tally.addRecord(at(int64(i)), int64(i+1), 0)
		e.bring(f.tally, at(int64(i)))
	}
	return f.summary()
}

func TestTermsCountEachRowExactlyOnce(t *testing.T) {
	for _, e := range endings() {
		s := summarize(1, e)
		for _, term := range s.Terms() {
			if want := term.Name == e.term; (term.Count == 1) != want || term.Count > 1 {
				t.Errorf("%s: %s=%d", e.name, term.Name, term.Count)
			}
		}
	}
}

func TestTermsAddUpToTheSubmittedRows(t *testing.T) {
	all := endings()
	for _, size := range []int{0, len(all) - 1, len(all), len(all) + 7} {
		s := summarize(size, all...)
		sum := int64(0)
		for _, term := range s.Terms() {
			sum += term.Count
		}
		if sum != s.Total() || s.Total() != int64(max(size, len(all))) {
			t.Errorf("size %d: the terms add up to %d, submitted are %d: %s", size, sum, s.Total(), s.Reconciliation())
		}
	}
}

func TestTermsIncludeEveryOutcome(t *testing.T) {
	s := summarize(0)
	terms := s.Terms()
	for _, outcome := range decision.Outcomes {
		if !slices.ContainsFunc(terms, func(term Term) bool { return term.Name == termName(outcome) }) {
			t.Errorf("no term for outcome %s", outcome)
		}
	}
}

func TestReconciliationKeepsItsFormat(t *testing.T) {
	var found []ending
	for i, name := range []string{"result completed", "result already_complete", "result skipped", "result duplicate", "dead letter rejected", "unsettled", "result of a newer version"} {
		e := endings()[slices.IndexFunc(endings(), func(e ending) bool { return e.name == name })]
		found = append(found, slices.Repeat([]ending{e}, i+1)...)
	}
	const want = "submitted=28 completed=1 already_complete=2 skipped=3 duplicates=4 dead_lettered=5 missing=6"
	s := summarize(0, found[:21]...)
	if got, want := s.Reconciliation(), "submitted=21"+want[len("submitted=28"):]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s = summarize(0, found...)
	if got, want := s.Reconciliation(), want+fmt.Sprintf(" other=%d", 7); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
