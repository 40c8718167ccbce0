package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/internal/control"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// The times between two statuses of --watch.
const (
	watchTerminal = 2 * time.Second
	watchElse     = 10 * time.Second
)

// maxHolds is how many holds are printed.
const maxHolds = 20

func statusCommand(s Process) *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the consumer group at a glance",
		Long: `Status shows what the whole group does, whichever instance does it: what waits in each
lane, pauses with their cause and age, holds, the rate allowed and used, the batches
that are not over, the dead letters of the last hour by reason, and the instances. An
instance that has said nothing for 90 seconds is shown as gone.

The lag counts the records beyond the committed offsets; of them, the backlog counts
those that are not settled. Without a ledger (kafka.topics.control), status shows the
lanes and the dead letters alone.`,
		Example: `  verdict status

  # Until Ctrl-C: on a terminal drawn again every 2 seconds, elsewhere printed every 10
  verdict status --watch

  # What a script needs
  verdict status --json | jq '.lanes[] | {lane, backlog}'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withGroup(cmd, s, func(ctx context.Context, o control.Options) error {
				write := writeStatus
				if asJSON {
					write = func(out io.Writer, st *control.Status) error { return writeJSON(out, st) }
				}
				if watch {
					return watchStatus(ctx, s, control.NewWatcher(o), write)
				}
				finish := showReading(s, &o)
				st, err := control.NewWatcher(o).Read(ctx)
				finish()
				if err != nil {
					return err
				}
				return write(s.Out, st)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again and again, until Ctrl-C")
	configFlags(cmd)
	return cmd
}

// watchStatus shows the status until ctx ends.
func watchStatus(ctx context.Context, s Process, watcher *control.Watcher, write func(io.Writer, *control.Status) error) error {
	terminal, every := term.IsTerminal(s.Out), watchElse
	if terminal {
		every = watchTerminal
	}
	return watcher.Watch(ctx, every, func(st *control.Status) error {
		var b bytes.Buffer // written at once, so that a terminal does not flicker
		if terminal {
			b.WriteString("\033[H\033[2J") // the top left corner, and an empty screen
		}
		if err := write(&b, st); err != nil {
			return err
		}
		if !terminal {
			b.WriteByte('\n')
		}
		_, err := b.WriteTo(s.Out)
		return err
	}, func(err error) {
		fmt.Fprintf(s.Err, "verdict: %s; trying again\n", term.OneLine(err.Error()))
	})
}

// writeStatus prints a status for people.
func writeStatus(out io.Writer, st *control.Status) error {
	age := func(t decision.Time) string {
		return max(st.At.Sub(t.Time), 0).Round(time.Second).String()
	}
	fmt.Fprintf(out, "group %s at %s\n", term.OneLine(st.Group), st.At)
	if st.Ledger != "ok" {
		fmt.Fprintf(out, "ledger: %s; holds, batches, rates and instances are not known\n", term.OneLine(st.Ledger))
	}
	for _, l := range st.Lanes {
		if l.Error != "" {
			fmt.Fprintf(out, "lane %s: not known: %s\n", l.Lane, term.OneLine(l.Error))
			continue
		}
		fmt.Fprintf(out, "lane %s: lag %s, backlog %s\n", l.Lane, term.Commas(l.Lag), term.Commas(l.Backlog))
	}
	for _, p := range st.Pauses {
		where := "all lanes"
		if p.Lane != "" {
			where = "lane " + decision.OneLine(p.Lane, 40)
		}
		if p.Batch != "" {
			where += ", batch " + decision.OneLine(p.Batch, decision.MaxBatchIDLength)
		}
		fmt.Fprintf(out, "paused: %s, %s for %s, on %s\n", where, decision.OneLine(p.Cause, 40), age(p.Since), term.Plural(p.Instances, "instance"))
	}
	if len(st.Pauses) == 0 && st.Ledger == "ok" {
		fmt.Fprintln(out, "paused: nothing")
	}
	for i := range st.Holds {
		if i == maxHolds {
			fmt.Fprintf(out, "held: %s more (--json lists them)\n", term.Commas(int64(len(st.Holds)-i)))
			break
		}
		fmt.Fprintf(out, "held: %s, %s\n", term.OneLine(st.Holds[i].Target), orderText(&st.Holds[i]))
	}
	fmt.Fprintf(out, "rate: %s\n", rateText(&st.Rate))
	fmt.Fprintf(out, "dead letters of the last hour: %s\n", lettersText(st.DeadLetters))
	if err := writeInstances(out, st, age); err != nil || len(st.Batches) == 0 {
		return err
	}
	return writeBatches(out, st.Batches)
}

func rateText(r *control.RateStatus) string {
	limit := func(rate float64) string {
		if rate == 0 {
			return "unlimited"
		}
		return fmt.Sprintf("%.4g a second", rate)
	}
	allowed := limit(r.Allowed)
	if r.Unlimited {
		allowed = limit(0)
	} else if r.Allowed == 0 {
		allowed = "nothing" // no instance is there
	}
	text := fmt.Sprintf("%.4g a second used, %s allowed, %s configured", r.Used, allowed, limit(r.Configured))
	if r.Set > 0 {
		text += ", " + limit(r.Set) + " set"
		if r.Until != nil {
			text += " until " + minute(r.Until.Time)
		}
		text += ", " + orderText(r.Order)
	}
	return text
}

// lettersText lists counts by reason, the most frequent first.
func lettersText(byReason map[string]int64) string {
	var parts []string
	for _, reason := range term.ByCount(byReason) {
		parts = append(parts, fmt.Sprintf("%s %s", decision.OneLine(reason, 60), term.Commas(byReason[reason])))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func writeInstances(out io.Writer, st *control.Status, age func(decision.Time) string) error {
	if len(st.Instances) == 0 {
		_, err := fmt.Fprintln(out, "instances: none is known")
		return err
	}
	table := term.NewTable(out)
	fmt.Fprintln(table, "INSTANCE\tHOST\tSTATE\tSEEN\tUP\tPARTITIONS\tIN FLIGHT\tVERSION")
	for i := range st.Instances {
		in := &st.Instances[i]
		state := "ready"
		switch {
		case in.Gone:
			state = "gone"
		case !in.Ready:
			state = "not ready"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s ago\t%s\t%d\t%d\t%s\n", decision.OneLine(in.ID, 60), decision.OneLine(in.Host, 60), state, age(in.Seen), age(in.Started),
			in.Partitions, in.InFlight, decision.OneLine(in.Version, 40))
	}
	return table.Flush()
}
