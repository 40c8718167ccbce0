package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// maxRefusals is the number of refused dead letters, and of kinds of errors, that
// are printed.
const maxRefusals = 20

// writeRefused lists the first dead letters that cannot go back, and returns the
// number of all.
func writeRefused(out io.Writer, survey bulkredrive.Survey, refused []bulkredrive.RefusedLetter) (all int64) {
	for _, l := range refused {
		id := ""
		if l.DecisionID != "" {
			id = " (" + l.DecisionID + ")"
		}
		fmt.Fprintf(out, "refused %s %s%s: %s\n", l.Why, l.Letter, id, l.Detail)
	}
	for _, n := range survey.Refused {
		all += n
	}
	if more := all - int64(len(refused)); more > 0 {
		var kinds []string
		for _, why := range term.ByCount(survey.Refused) {
			kinds = append(kinds, fmt.Sprintf("%s %s", why, term.Commas(survey.Refused[why])))
		}
		fmt.Fprintf(out, "refused %s more; in all %s\n", term.Commas(more), strings.Join(kinds, ", "))
	}
	return all
}

// writeSurvey prints the chosen dead letters by topic, reason and error.
func writeSurvey(out io.Writer, survey bulkredrive.Survey) {
	for _, topic := range slices.Sorted(maps.Keys(survey.ByTopic)) {
		fmt.Fprintf(out, "topic %s %d\n", topic, survey.ByTopic[topic])
	}
	for _, reason := range term.ByCount(survey.ByReason) {
		fmt.Fprintf(out, "reason %s %d\n", reason, survey.ByReason[reason])
	}
	errs := term.ByCount(survey.ByError)
	for _, text := range errs[:min(len(errs), maxRefusals)] {
		fmt.Fprintf(out, "error %d %s\n", survey.ByError[text], decision.OneLine(cmp.Or(survey.Examples[text], text), 200))
	}
	if more := len(errs) - maxRefusals; more > 0 {
		fmt.Fprintf(out, "and %s of other kinds\n", term.Plural(more, "error"))
	}
}
