package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"verdict/internal/control"
	"verdict/internal/decision"
	"verdict/internal/term"
)

func batchesCommand(s Process) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "batches",
		Short: "List the batches and how far they are",
		Long: `Batches lists the batches that are not over and those of the last seven days, the
oldest first: state, decisions, how many are settled and how many of them
dead-lettered, the time left, and who submitted it and when.

A batch is "sending" until its submit has ended, "waiting" for approval, "running",
"held" by a person, "refused" (held by an instance, because the API refused all of its
last decisions), "cancelled" or "done". The time left is estimated from the last five
minutes, or from the rate if nothing was settled in them.

What is not in the ledger yet is counted from the topics; that reads them from where
the oldest unfinished batch began. Batches that a Verdict without a ledger submitted are
not listed; "verdict follow" finds them.`,
		Example: `  verdict batches

  verdict batches --all --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withGroup(cmd, s, func(ctx context.Context, o control.Options) error {
				finish := showReading(s, &o)
				list, err := control.Batches(ctx, o, all)
				finish()
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(s.Out, list)
				}
				return writeBatches(s.Out, list)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&all, "all", false, "also list batches that were over more than seven days ago")
	configFlags(cmd)
	return cmd
}

// writeJSON prints a value as indented JSON.
func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeBatches prints a line for each batch.
func writeBatches(out io.Writer, list []control.Batch) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no batches")
		return err
	}
	table := term.NewTable(out)
	fmt.Fprintln(table, "BATCH\tSTATE\tROWS\tSETTLED\tDEAD\tLEFT\tBY\tSUBMITTED\tLATEST COMMAND")
	for i := range list {
		b := &list[i]
		command, submitted := "", "-"
		if b.SubmittedAt != nil {
			submitted = minute(b.SubmittedAt.Time)
		}
		if b.Order != nil {
			command = orderText(b.Order)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", term.OneLine(b.ID), b.State, term.Commas(b.Rows), term.Commas(b.Settled), term.Commas(b.DeadLettered),
			leftText(b.LeftSeconds), decision.OneLine(b.SubmittedBy, 40), submitted, command)
	}
	return table.Flush()
}

// orderText says who commanded what, when and why: "hold by ops@backoffice 2026-11-12 09:00
// (wrong file)".
func orderText(o *control.Order) string {
	text := fmt.Sprintf("%s by %s %s", decision.OneLine(o.Command, 40), decision.OneLine(o.Actor, 40), minute(o.At.Time))
	if o.Why != "" {
		text += " (" + decision.OneLine(o.Why, 100) + ")"
	}
	return text
}

// minute formats a time to the minute, in UTC.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// leftText formats the time left; "-": not known.
func leftText(seconds float64) string {
	const most = 365 * 24 * time.Hour
	switch {
	case seconds <= 0:
		return "-"
	case seconds >= most.Seconds():
		return "over a year"
	}
	return term.Days(time.Duration(seconds * float64(time.Second)).Round(time.Second))
}
