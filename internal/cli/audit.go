package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"verdict/internal/control"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

func auditCommand(s Process) *cobra.Command {
	var since, until timeFlag
	var f control.AuditFilter
	var asJSON, asCSV bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what, when and why",
		Long: `Audit lists what people did with Verdict, from the audit topic (kafka.topics.audit), the
newest last: the time, the actor, the command, what it was about, what it changed, and
the reason. All filters given have to fit.

An act and what it changes are written together, so there is none without the other.
Who may write to the audit topic is a matter of Kafka's ACLs.`,
		Example: `  verdict audit --since 7d

  # Everything about a batch, for a spreadsheet
  verdict audit --key batch/spring-review --csv > spring-review.csv

  verdict audit --actor ops@backoffice --command cancel --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Since, f.Until = since.time, until.time
			switch {
			case asJSON && asCSV:
				return &usageError{cmd.CommandPath(), errors.New("--json and --csv exclude each other")}
			case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
				return &usageError{cmd.CommandPath(), fmt.Errorf("--since %s must be before --until %s", since.text, until.text)}
			}
			return withGroup(cmd, s, func(ctx context.Context, o control.Options) error {
				write, flush := actWriter(s.Out, asJSON, asCSV)
				skipped, err := control.Acts(ctx, o, f, write)
				if err == nil && skipped > 0 {
					fmt.Fprintf(s.Err, "%s of %s can't be read as acts\n", term.Plural(skipped, "record"), o.Ledger.Audit)
				}
				return errors.Join(err, flush())
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(&since, "since", "only what was done at this time or later: a time, or an age such as 36h or 7d")
	flags.Var(&until, "until", "only what was done before this time: a time, or an age")
	flags.StringVar(&f.Actor, "actor", "", "only what this `actor` did")
	flags.StringVar(&f.Command, "command", "", "only what was done with this `command`, such as hold")
	flags.StringVar(&f.Key, "key", "", "only what has this `text` in its key or target, such as batch/spring-review")
	flags.StringVar(&f.Match, "match", "", "only what has this `text` in its reason or details, ignoring case")
	flags.BoolVar(&asJSON, "json", false, "print each act as a JSON object on its own line")
	flags.BoolVar(&asCSV, "csv", false, "print CSV, safe to open in a spreadsheet")
	for _, flag := range []string{"since", "until", "actor", "command", "key", "match"} {
		completeValues(cmd, flag, nil)
	}
	configFlags(cmd)
	return cmd
}

// auditLine is an act in JSON. Its names are stable.
type auditLine struct {
	At      decision.Time     `json:"at"`
	Actor   string            `json:"actor"`
	Host    string            `json:"host"`
	Run     string            `json:"run"`
	Command string            `json:"command"`
	Key     string            `json:"key"`
	Target  string            `json:"target"`
	Why     string            `json:"why,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

// actWriter returns a function that prints acts, and one to call after the last.
func actWriter(out io.Writer, asJSON, asCSV bool) (write func(ledger.Key, ledger.Act) error, flush func() error) {
	flush = func() error { return nil }
	switch {
	case asJSON:
		enc := json.NewEncoder(out)
		write = func(key ledger.Key, a ledger.Act) error {
			return enc.Encode(auditLine{
				At: decision.Time{Time: a.At}, Actor: a.Actor, Host: a.Host, Run: a.Run, Command: a.Command, Key: a.Key, Target: targetOf(key, a), Why: a.Why, Details: a.Details,
			})
		}
	case asCSV:
		w := csv.NewWriter(out)
		_ = w.Write([]string{"at", "actor", "host", "run", "command", "key", "target", "why", "details"}) // its error stays until Flush
		write = func(key ledger.Key, a ledger.Act) error {
			cells := []string{decision.Time{Time: a.At}.String(), a.Actor, a.Host, a.Run, a.Command, a.Key, targetOf(key, a), a.Why, control.Details(a.Details)}
			for i, cell := range cells {
				cells[i] = noFormula(term.OneLine(cell))
			}
			return w.Write(cells)
		}
		flush = func() error {
			w.Flush()
			return w.Error()
		}
	default:
		write = func(key ledger.Key, a ledger.Act) error {
			line := fmt.Sprintf("%s %s %s %s", decision.Time{Time: a.At}, a.Actor, a.Command, targetOf(key, a))
			if details := control.Details(a.Details); details != "" {
				line += "; " + details
			}
			if a.Why != "" {
				line += "; why: " + a.Why
			}
			_, err := fmt.Fprintln(out, term.OneLine(line))
			return err
		}
	}
	return write, flush
}

// targetOf says what an act was about: in its own words, or else in those of its key.
func targetOf(key ledger.Key, a ledger.Act) string {
	if target := a.Details["target"]; target != "" {
		return target
	}
	return control.Describe(key)
}

// noFormula puts an apostrophe before a cell that a spreadsheet would take for a formula.
func noFormula(cell string) string {
	if cell != "" {
		switch cell[0] {
		case '=', '+', '-', '@', '\t', '\r':
			return "'" + cell
		}
	}
	return cell
}
