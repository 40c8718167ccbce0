package redrive

import (
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"verdict/internal/decision"
)

// Refusal is why a dead letter can't go back. Its text is shown in lists.
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
	Letter     decision.Position // its place in the dead letter topic
	DecisionID string            // empty: not known
	Why        Refusal
	Detail     string // for people
}

// choice is a dead letter that the filter chose.
type choice struct {
	letter  decision.DeadRecord
	copied  decision.Record // to send back
	refused *RefusedLetter  // nil: it can go back
}

// choose applies the filter to a dead letter and reports whether it is chosen.
func (r *Redriver) choose(rec *decision.Record) (choice, bool) {
	d, err := decision.ParseDeadLetter(rec)
	refuse := func(why Refusal, format string, args ...any) (choice, bool) {
		detail := decision.OneLine(fmt.Sprintf(format, args...), 300)
		return choice{refused: &RefusedLetter{Letter: rec.Origin(), DecisionID: d.DecisionID, Why: why, Detail: detail}}, true
	}
	if err != nil {
		if !r.options.Filter.Any() {
			return choice{}, false // no filter matches what can't be read
		}
		return refuse(NotReadable, "%v", err)
	}
	if !r.options.Filter.matches(&d, rec.Time, r.options.Decode) {
		return choice{}, false
	}
	switch {
	case d.Redrives >= r.options.MaxRedrives:
		return refuse(OverMax, "redriven %d times already", d.Redrives)
	case d.ValueOmitted:
		return refuse(NoValue, "its dead letter has no value, which was too large or can't be read; the original is at %s", d.Original.Origin())
	case !slices.Contains(r.targets, d.Original.Topic) || d.Original.Topic == r.options.DeadLetters:
		return refuse(OtherTopic, "it came from topic %s, which is not configured; --any-topic sends it back anyway", d.Original.Topic)
	case !r.existing[d.Original.Topic]:
		return refuse(OtherTopic, "it came from topic %s, which does not exist", d.Original.Topic)
	}
	copied := d.Redriven(rec.Origin())
	if r.options.Edit != nil {
		edited, err := jsonpatch.MergePatch(copied.Value, r.options.Edit)
		if err != nil {
			return refuse(NotEditable, "its value is not a JSON object: %v", err)
		}
		copied.Value = edited
	}
	return choice{letter: d, copied: copied}, true
}
