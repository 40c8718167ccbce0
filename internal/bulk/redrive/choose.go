package redrive

import (
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"verdict/internal/broker"
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
	stands  standing
	copied  decision.Record // to send back
	refused *RefusedLetter  // nil: it can be handled
}

// standing is what the ledger has of a letter that the filter chose.
type standing int

const (
	open     standing = iota // it is to be handled
	wentBack                 // it went back before
	dealt                    // it was dismissed before
)

// standing returns what the ledger has of a letter. ok is false for one that the action is
// not for.
func (r *Redriver) standing(letter decision.Position) (s standing, ok bool) {
	switch isDismissed := r.windows.has(dismissed, letter); {
	case r.options.Action == Restore:
		return open, isDismissed
	case r.windows.has(redriven, letter):
		return wentBack, true
	case isDismissed:
		return dealt, true
	}
	return open, true
}

// choose applies the filter to a dead letter and reports whether it is chosen.
func (r *Redriver) choose(rec *decision.Record) (choice, bool) {
	d, err := decision.ParseDeadLetter(rec)
	stands, ok := r.standing(rec.Origin())
	if !ok {
		return choice{}, false
	}
	refuse := func(why Refusal, format string, args ...any) (choice, bool) {
		detail := decision.OneLine(fmt.Sprintf(format, args...), 300)
		return choice{stands: stands, refused: &RefusedLetter{Letter: rec.Origin(), DecisionID: d.DecisionID, Why: why, Detail: detail}}, true
	}
	if err != nil {
		if !r.options.Filter.Any() {
			return choice{}, false // no filter matches what can't be read
		}
		if r.options.Action != SendBack {
			return choice{stands: stands}, true
		}
		return refuse(NotReadable, "%v", err)
	}
	if !r.options.Filter.matches(&d, rec.Time, r.options.Decode) {
		return choice{}, false
	}
	if r.options.Action != SendBack || stands != open {
		return choice{letter: d, stands: stands}, true
	}
	r.checkRedrives(&d)
	switch {
	case d.Redrives >= r.options.MaxRedrives:
		return refuse(OverMax, "redriven %d times already", d.Redrives)
	case d.ValueOmitted:
		return refuse(NoValue, "its dead letter has no value, which was too large or can't be read; the original is at %s", d.Original.Origin())
	case r.isForbidden(d.Original.Topic):
		return refuse(OtherTopic, "it says that it came from topic %s, which Verdict or Kafka writes itself; no dead letter goes back there", d.Original.Topic)
	case !slices.Contains(r.targets, d.Original.Topic):
		return refuse(OtherTopic, "it came from topic %s, which is not configured; --any-topic sends it back anyway", d.Original.Topic)
	case r.partitions[d.Original.Topic] == 0:
		return refuse(OtherTopic, "it came from topic %s, which does not exist", d.Original.Topic)
	}
	copied := d.Redriven(rec.Origin())
	copied.Headers = append(copied.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(r.options.Ledger.Author.Run)})
	if copied.Partition >= r.partitions[copied.Topic] {
		copied.Partition = broker.ByKey // the topic was made again, with fewer partitions
	}
	if r.options.Edit != nil {
		if err := r.edit(&copied); err != nil {
			return refuse(NotEditable, "%v", err)
		}
	}
	return choice{letter: d, copied: copied}, true
}

// checkRedrives believes what a letter's record says of its redrives only if the ledger says
// that the letter it names went back: anybody can write the headers of a redrive.
func (r *Redriver) checkRedrives(d *decision.DeadRecord) {
	from, ok := decision.RedrivenFrom(&d.Original)
	if !ok || from.Topic != r.options.DeadLetters || !r.windows.has(redriven, from) {
		d.ForgetRedrives()
	}
}

// edit applies the patch to a copy. Its decision must be valid afterwards.
func (r *Redriver) edit(copied *decision.Record) error {
	edited, err := jsonpatch.MergePatch(copied.Value, r.options.Edit)
	if err != nil {
		return fmt.Errorf("its value is not a JSON object: %w", err)
	}
	copied.Edited(edited, r.options.Ledger.Author.Actor, r.options.Edit)
	if slices.Contains(r.options.NoDecisions, copied.Topic) {
		return nil
	}
	if _, err := r.options.Decode(copied); err != nil {
		return fmt.Errorf("with the patch it is no valid decision: %w", err)
	}
	return nil
}
