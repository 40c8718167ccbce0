package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	bulkfollow "verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// followProgress formats the state of a batch as one line.
func followProgress(sum bulkfollow.Summary) string {
	if sum.Submitted == 0 {
		return fmt.Sprintf("%s records read", term.Commas(sum.Read))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s settled, %s completed", term.Commas(sum.Settled), term.Commas(sum.Total()), term.Commas(sum.Outcomes[decision.Completed]))
	for _, outcome := range decision.Outcomes {
		if n := sum.Outcomes[outcome]; n > 0 && outcome != decision.Completed && outcome != decision.DeadLettered {
			fmt.Fprintf(&b, ", %s %s", term.Commas(n), outcome)
		}
	}
	if sum.DeadLettered > 0 {
		var reasons []string
		for _, r := range term.ByCount(sum.Reasons) {
			reasons = append(reasons, fmt.Sprintf("%s %s", r, term.Commas(sum.Reasons[r])))
		}
		fmt.Fprintf(&b, ", %s dead-lettered (%s)", term.Commas(sum.DeadLettered), strings.Join(reasons, ", "))
	}
	if sum.Rate > 0 {
		fmt.Fprintf(&b, ", %.1f/s, %v left", sum.Rate, sum.Left.Round(time.Second))
	}
	return b.String()
}

// writeFollowed prints how a batch ended. It returns an error unless every
// decision was settled with a result.
func writeFollowed(out io.Writer, sum bulkfollow.Summary, reported bool) error {
	writeMissing(out, sum, reported)
	for _, r := range term.ByCount(sum.Reasons) {
		fmt.Fprintf(out, "dead_lettered %s %d\n", r, sum.Reasons[r])
	}
	_, err := fmt.Fprintln(out, sum.Reconciliation())
	var wrong []string
	if sum.DeadLettered > 0 {
		wrong = append(wrong, term.Commas(sum.DeadLettered)+" dead-lettered")
	}
	if sum.Missing > 0 {
		wrong = append(wrong, term.Commas(sum.Missing)+" missing")
	}
	if sum.Waiting > 0 {
		wrong = append(wrong, term.Commas(sum.Waiting)+" waiting")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s of %s", strings.Join(wrong, " and "), term.Plural(sum.Total(), "decision"))
	}
	return err
}

// writeMissing lists the first missing decisions, and counts the others.
func writeMissing(out io.Writer, sum bulkfollow.Summary, reported bool) {
	for _, d := range sum.Open {
		fmt.Fprintf(out, "missing %s at %s\n", decision.OneLine(d.ID, decision.MaxTextSize), d.Origin)
	}
	if n := sum.Missing - sum.NotFound - int64(len(sum.Open)); n > 0 {
		more, hint := "", " (to list all, use --report FILE)"
		if len(sum.Open) > 0 {
			more = " more"
		}
		if reported {
			hint = ", listed in the report"
		}
		fmt.Fprintf(out, "missing %s%s%s\n", term.Commas(n), more, hint)
	}
	if sum.NotFound > 0 {
		fmt.Fprintf(out, "missing %s of the batch's %s that were not found: not submitted yet, or deleted by the topic's retention\n", term.Commas(sum.NotFound), term.Commas(sum.Size))
	}
	if sum.Waiting > 0 {
		fmt.Fprintf(out, "waiting %s: not sent yet, or not carried out yet by the service\n", term.Commas(sum.Waiting))
	}
}
