package prove

import (
	"cmp"
	"slices"

	"verdict/internal/decision"
)

// unsettledName stands for the outcome of a decision that has none.
const unsettledName = "unsettled"

// otherName stands for outcomes that no result can say, and for those beyond maxWords.
const otherName = "other"

// settle works out from the parts of a decision which redrives count, and how it ended.
//
// A redrive counts if the ledger says that its letter went back, or if it repeats a dead letter of this decision,
// of a record that counts, with the same value. (Where the ledger does not know the batch,
// an edited value counts as well: redrives left no other trace then.) The redrives with the
// highest number are the decision's latest records, or without any its first. It ended with
// the first result of one of these, or else with the first of their dead letters.
func (d *Decision) settle(members Members) {
	counting := []decision.Position{d.Origin}
	latest, number := counting, 0
	byNumber := func(a, b *Redrive) int { return cmp.Compare(a.Number, b.Number) }
	ordered := make([]*Redrive, len(d.Redrives))
	for i := range d.Redrives {
		ordered[i] = &d.Redrives[i]
	}
	slices.SortStableFunc(ordered, byNumber)
	for _, r := range ordered {
		r.Confirmed = r.ByLedger || slices.ContainsFunc(d.DeadLetters, func(l DeadLetter) bool {
			return r.From != nil && l.At == *r.From && slices.Contains(counting, l.Of) && (members == ByNames || l.ValueSHA256 == r.Copy.ValueSHA256)
		})
		if !r.Confirmed {
			continue
		}
		counting = append(counting, r.Place)
		if r.Number > number {
			number, latest = r.Number, nil
		}
		latest = append(latest, r.Place)
	}
	d.Outcome, d.Reason = unsettledName, ""
	for _, r := range d.Results {
		if slices.Contains(latest, r.Of) {
			d.Outcome = r.Outcome
			if d.Outcome == unsettledName || d.Outcome == string(decision.DeadLettered) {
				d.Outcome = otherName // no result of Verdict's says that
			}
			return
		}
	}
	for _, l := range d.DeadLetters {
		if slices.Contains(latest, l.Of) {
			d.Outcome, d.Reason = string(decision.DeadLettered), l.Reason
			return
		}
	}
}

// counter counts decisions in the order of their lines.
type counter struct {
	Counts
	before int64 // line in the batch of the one before
}

func newCounter() counter {
	return counter{Counts: Counts{Outcomes: make(map[string]int64), Reasons: make(map[string]int64)}}
}

func (c *counter) add(d *Decision) {
	c.Decisions++
	if d.Outcome == unsettledName {
		c.Unsettled++
	} else {
		countWord(c.Outcomes, d.Outcome)
	}
	if d.Reason != "" {
		countWord(c.Reasons, d.Reason)
	}
	if d.Record == nil {
		c.Gone++
	}
	if d.Line > 0 && d.Line == c.before {
		c.Repeated++
	}
	c.before = d.Line
	confirmed := false
	for _, r := range d.Redrives {
		if r.Confirmed {
			confirmed = true
		} else {
			c.Unconfirmed++
		}
	}
	if confirmed {
		c.Redriven++
	}
	c.Omitted += d.Omitted
}

// maxWords and maxWord bound the outcomes and reasons that are told apart, and their length.
// Verdict's own are few; but evidence must not take all memory, whoever wrote what is in it.
const maxWords, maxWord = 100, 64

// countWord counts an outcome or reason as it stands, since other versions know others.
func countWord(counts map[string]int64, word string) {
	if len(word) > maxWord || counts[word] == 0 && len(counts) >= maxWords {
		word = otherName
	}
	counts[word]++
}
