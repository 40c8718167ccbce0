package rows

import (
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// stateWords are words that commonly mean a state. They are proposed, never taken.
var stateWords = map[string]decision.State{
	"pass": decision.CompletedPass, "passed": decision.CompletedPass, "approve": decision.CompletedPass, "approved": decision.CompletedPass, "completedpass": decision.CompletedPass,
	"fail": decision.CompletedFail, "failed": decision.CompletedFail, "reject": decision.CompletedFail, "rejected": decision.CompletedFail, "completedfail": decision.CompletedFail,
}

// ParseValues parses pairs of a text and the state that it means, separated by commas:
// Pass=COMPLETED_PASS,Fail=COMPLETED_FAIL. A text may contain a comma or a =, since a
// state does not.
func ParseValues(into map[string]string, pairs string) error {
	text := ""
	for part := range strings.SplitSeq(pairs, ",") {
		text += part
		i := strings.LastIndexByte(text, '=')
		if i < 0 {
			text += ","
			continue
		}
		from, to := strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:])
		text = ""
		switch other, twice := into[from]; {
		case from == "":
			return fmt.Errorf("must be TEXT=STATE, is %q; an empty cell can't be given a state", pairs)
		case twice && other != to:
			return fmt.Errorf("%q is given twice, as %s and as %s", from, other, to)
		}
		into[from] = to
	}
	if text != "" {
		return fmt.Errorf("must be TEXT=STATE, is %q", strings.TrimSuffix(text, ","))
	}
	return nil
}

// validateValues returns the faults of Options.Values.
func validateValues(values map[string]string) []error {
	var faults []error
	seen := make(map[string]string)
	for _, text := range sortedKeys(values) {
		state := values[text]
		if state != string(decision.CompletedPass) && state != string(decision.CompletedFail) {
			faults = append(faults, fmt.Errorf("values: %q must become %s or %s, not %q", text, decision.CompletedPass, decision.CompletedFail, state))
		}
		if (text == string(decision.CompletedPass) || text == string(decision.CompletedFail)) && text != state {
			faults = append(faults, fmt.Errorf("values: %s is a state, and can't mean %s", text, state))
		}
		key := strings.ToLower(text)
		if other, twice := seen[key]; twice && values[other] != state {
			faults = append(faults, fmt.Errorf("values: %q and %q differ in case alone, but not in what they mean", other, text))
		}
		seen[key] = text
	}
	return faults
}

// state returns the text of a state as Values translates it. A text that is no state
// and has no translation is noted, and stays as it is.
func (e *edit) state(text []byte) []byte {
	if s := string(text); s == string(decision.CompletedPass) || s == string(decision.CompletedFail) {
		return text
	}
	if len(e.values) > 0 {
		key := strings.ToLower(string(text))
		if state, ok := e.values[key]; ok {
			e.valuesUsed[key] = true
			return []byte(state)
		}
	}
	e.stateTexts.note(text)
	return text
}

// tally counts texts, in bounded memory.
type tally struct {
	total int64
	texts []string // the first different ones, in order
	count []int64  // of each of them
	other int64    // of all others
}

// maxTallied bounds the different texts of a tally.
const maxTallied = 12

func (t *tally) note(text []byte) {
	t.total++
	for i, s := range t.texts {
		if s == string(text) {
			t.count[i]++
			return
		}
	}
	if len(t.texts) == maxTallied {
		t.other++
		return
	}
	s := decision.OneLine(string(text[:min(len(text), 200)]), 48)
	if i := slices.Index(t.texts, s); i >= 0 {
		t.count[i]++
		return
	}
	t.texts, t.count = append(t.texts, s), append(t.count, 1)
}

// String lists the texts with their counts.
func (t *tally) String() string {
	var all []string
	for i, text := range t.texts {
		all = append(all, fmt.Sprintf("%q (%d)", text, t.count[i]))
	}
	if t.other > 0 {
		all = append(all, fmt.Sprintf("others (%d)", t.other))
	}
	return strings.Join(all, ", ")
}

// proposals returns hints for texts that are not states, with the flags that would
// translate them.
func (r *Reader) proposals() []string {
	var hints []string
	if t := &r.edit.stateTexts; t.total > 0 {
		var common, unknown []string
		for _, text := range t.texts {
			if state, ok := stateWords[simplified(text)]; ok {
				common = append(common, text+"="+string(state))
			} else {
				unknown = append(unknown, text)
			}
		}
		hint := fmt.Sprintf("%s says %s", r.columnText("state"), t)
		if len(common) > 0 {
			hint += fmt.Sprintf("; if that is what these words mean, add --values %s", shellQuote(strings.Join(common, ",")))
		}
		if len(unknown) > 0 {
			hint += fmt.Sprintf("; what %s means is not guessed: say it, as in --values %s", list(quoteAll(unknown)), shellQuote(unknown[0]+"="+string(decision.CompletedPass)))
		}
		hints = append(hints, hint)
	}
	if t := &r.edit.completeTexts; t.total > 0 {
		name := "is_complete"
		if c, ok := r.columnOf[name]; ok {
			name = c.name
		}
		hints = append(hints, fmt.Sprintf("%s says %s; only true is read as a decision; to say what a text means, add --map %s --values %s",
			r.columnText("is_complete"), t, shellQuote(name+"=state"), shellQuote(t.texts[0]+"="+string(decision.CompletedPass))))
	}
	return hints
}

// columnText names the column of a field for a message.
func (r *Reader) columnText(field string) string {
	c, ok := r.columnOf[field]
	switch {
	case !ok:
		return field
	case strings.EqualFold(c.name, field):
		return fmt.Sprintf("%s (column %s)", field, columnLetter(c.index))
	}
	return fmt.Sprintf("%s (column %s, %s)", field, columnLetter(c.index), quote(c.name))
}

// bareID returns an ID without the braces that some programs put around it.
func bareID(cell []byte) []byte {
	if n := len(cell); n > 2 && cell[0] == '{' && cell[n-1] == '}' {
		return trimCell(cell[1 : n-1])
	}
	return cell
}
