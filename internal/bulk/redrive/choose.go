package redrive

import (
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"verdict/internal/decision"
)

// Refusal is why a dead letter can't go back.
type Refusal string

// The refusals.
const (
	OverMax     Refusal = "over_max_redrives"
	NoValue     Refusal = "without_value"
	OtherTopic  Refusal = "other_topic"
	NotEditable Refusal = "not_editable"
	NotReadable Refusal = "not_readable"
)

// RefusedLetter is a dead letter that was chosen and can't go back.
type RefusedLetter struct {
	Letter     decision.Origin // its place among the dead letters
	DecisionID string          // empty: not known
	Why        Refusal
	Detail     string
}

// choose says whether a dead letter is chosen by the filter, and what goes back for
// it, or why nothing can.
func (r *Redriver) choose(rec *decision.Record) (d decision.DeadRecord, back decision.Record, refused *RefusedLetter, chosen bool) {
	d, err := decision.ParseDeadLetter(rec)
	refuse := func(why Refusal, format string, args ...any) (decision.DeadRecord, decision.Record, *RefusedLetter, bool) {
		return d, back, &RefusedLetter{Letter: rec.Origin(), DecisionID: d.DecisionID, Why: why, Detail: decision.OneLine(fmt.Sprintf(format, args...), 300)}, true
	}
	if err != nil {
		if !r.o.Filter.Any() {
			return d, back, nil, false // whatever it is, it was not asked for
		}
		return refuse(NotReadable, "%v", err)
	}
	if !r.o.Filter.matches(&d, rec.Time) {
		return d, back, nil, false
	}
	switch {
	case d.Redrives >= r.o.MaxRedrives:
		return refuse(OverMax, "redriven %d times already", d.Redrives)
	case d.ValueOmitted:
		return refuse(NoValue, "it was too large for its dead letter; the original is at %s", d.Original.Origin())
	case !slices.Contains(r.o.Targets, d.Original.Topic) || d.Original.Topic == r.o.DeadLetters:
		return refuse(OtherTopic, "it names the topic %s, which is none of this configuration's (--any-topic)", d.Original.Topic)
	case !r.exist[d.Original.Topic]:
		return refuse(OtherTopic, "its topic %s does not exist", d.Original.Topic)
	}
	back = d.Redriven(rec.Origin())
	if r.o.Edit != nil {
		edited, err := jsonpatch.MergePatch(back.Value, r.o.Edit)
		if err != nil {
			return refuse(NotEditable, "its value is no JSON object: %v", err)
		}
		back.Value = edited
	}
	return d, back, nil, true
}
