package cli

import (
	"fmt"
	"io"
	"strings"

	bulkprove "verdict/internal/bulk/prove"
	"verdict/internal/term"
)

// writeChecked prints what evidence says that was found to be consistent. actors are those
// whose key signed it; none: it is not known whose key it is.
func writeChecked(s Process, c *bulkprove.Checked, actors []string) error {
	m := &c.Manifest
	line := func(name, format string, values ...any) {
		fmt.Fprintf(s.Out, "%-11s %s\n", name, term.OneLine(fmt.Sprintf(format, values...)))
	}
	line("batch", "%s of group %s, cluster %s", m.Batch, m.Group, m.Cluster)
	if l := m.Ledger; l != nil {
		line("submitted", "%s by %s on %s", l.Batch.Began.UTC().Format("2006-01-02 15:04:05Z"), l.Batch.Submitter.Actor, l.Batch.Submitter.Host)
	}
	line("decisions", "%s", countsLine(&c.Counts))
	line("commands", "%s", term.Commas(c.Counts.Commands))
	why := ""
	if m.Made.Why != "" {
		why = ": " + m.Made.Why
	}
	line("made", "%s by %s on %s%s", m.Made.At.UTC().Format("2006-01-02 15:04:05Z"), m.Made.Actor, m.Made.Host, why)
	line("hash", "%s", c.Hash)
	writeWarnings(s.Err, c)
	switch {
	case c.Key == nil:
		line("signed", "no")
		fmt.Fprintln(s.Err, "warning: the evidence is not signed, so whoever had the file could have written another one")
	case len(actors) > 0:
		line("signed", "by %s (key %s)", strings.Join(actors, " or "), c.Fingerprint())
	default:
		line("signed", "by an unknown key (%s)", c.Fingerprint())
		fmt.Fprintln(s.Err, "warning: it is not known whose key that is; compare its fingerprint with one that you have from elsewhere, or use --trusted-keys FILE")
	}
	_, err := fmt.Fprintln(s.Out, "the evidence is consistent")
	return err
}

// countsLine says how decisions ended.
func countsLine(n *bulkprove.Counts) string {
	ends := []string{}
	for _, outcome := range term.ByCount(n.Outcomes) {
		ends = append(ends, term.Commas(n.Outcomes[outcome])+" "+outcome)
	}
	if n.Unsettled > 0 {
		ends = append(ends, term.Commas(n.Unsettled)+" not settled")
	}
	text := term.Commas(n.Decisions) + ": " + strings.Join(ends, ", ")
	reasons := []string{}
	for _, reason := range term.ByCount(n.Reasons) {
		reasons = append(reasons, reason+" "+term.Commas(n.Reasons[reason]))
	}
	if len(reasons) > 0 {
		text += "; dead-lettered as " + strings.Join(reasons, ", ")
	}
	return text
}

// writeWarnings says what is unusual about a batch.
func writeWarnings(w io.Writer, c *bulkprove.Checked) {
	n := &c.Counts
	warn := func(count int64, noun, why string) {
		if count > 0 {
			fmt.Fprintf(w, "warning: %s %s\n", term.PluralIs(count, noun), why)
		}
	}
	warn(n.Unsettled+n.NotFound, "decision", "not settled")
	warn(n.NotFound, "decision", "not in the evidence, because it was not sent yet or its records were deleted by retention")
	warn(n.Gone, "decision", "known only by its result or dead letter")
	warn(n.Repeated, "decision", "of a line that another one has")
	warn(n.Unconfirmed, "redrive", "not confirmed, and does not count")
	warn(n.Omitted, "result or dead letter", "left out, since a single decision has too many")
	if c.Manifest.Members == bulkprove.ByNames {
		fmt.Fprintln(w, "warning: the ledger did not know the batch, so its decisions are those that name it")
	}
}
