package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	bulkexplain "verdict/internal/bulk/explain"
	"verdict/internal/decision"
)

// explainSince is how far back explain looks unless it is said.
const explainSince = "7d"

func explainCommand(s Process) *cobra.Command {
	var since pastTime
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain DECISION-ID | PROFILE/TASK",
		Short: "Say what happened to one decision, or to all on one task",
		Long: `Explain looks a decision up in the topics of decisions, results and dead letters,
and tells what happened to it in the order of time: submitted, dead-lettered with
the error, redriven, settled; or pending, with how far the consumer group is from
it. PROFILE/TASK tells it of every decision on that task; a decision without an ID
of its own is named by its place, topic/partition/offset.

It reads Kafka alone, what is younger than --since, and fails if it finds nothing.`,
		Example: `  verdict explain spring-review/1741
  verdict explain task-decisions/3/12007
  verdict explain 3ceaaf30-8142-c8ea-91d9-3080f9b439fc/70ff753d-3c88-ad8a-bd70-73d26c7e40ec --since 30d --json`,
		Args: oneArg("the ID of a decision, or PROFILE/TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !decision.ValidDecisionID(args[0]) && len(args[0]) <= decision.MaxIDLength {
				return &usageError{cmd.CommandPath(), fmt.Errorf("%q can be no decision's ID", args[0])}
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			if since.text == "" {
				if err := since.Set(explainSince); err != nil {
					return err
				}
			}
			return explain(cmd.Context(), s, cfg, args[0], since, asJSON)
		},
	}
	cmd.Flags().Var(&since, "since", "look at no older records: a time, or how long ago (36h, 30d) (default "+explainSince+")")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line for each event")
	configFlags(cmd)
	return cmd
}

func explain(ctx context.Context, s Process, cfg configs.Config, subject string, since pastTime, asJSON bool) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	topics, err := laneTopics(cfg.Kafka.Topics, "all")
	if err != nil {
		return err
	}
	found, err := bulkexplain.Explain(ctx, bulkexplain.Options{
		Connection: connection, Decisions: topics, Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		Group: cfg.Kafka.GroupID, Since: since.time, Retrying: retryTeller(newLogger(s, cfg.Log)),
	}, subject)
	if errors.Is(err, bulkexplain.ErrNotFound) {
		return fmt.Errorf("nothing is known of %q: none of the %s since %s speaks of it; look further back with --since, and name a task as PROFILE/TASK",
			decision.OneLine(subject, decision.MaxIDLength), plural(int(found.Read), "record"), decision.Time{Time: since.time})
	}
	if err != nil {
		return err
	}
	if asJSON {
		err = writeEventsJSON(s.Out, found.Events)
	} else {
		err = writeEvents(s.Out, found.Events)
	}
	if found.More {
		err = errors.Join(err, fmt.Errorf("there is more than the %s shown; narrow it down with --since", plural(len(found.Events), "event")))
	}
	return err
}

func writeEventsJSON(out io.Writer, events []bulkexplain.Event) error {
	enc := json.NewEncoder(out)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// writeEvents writes events for people: time, what, where, and the rest in words.
func writeEvents(out io.Writer, events []bulkexplain.Event) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, e := range events {
		what := string(e.Kind)
		if e.Kind == bulkexplain.EventSettled {
			what = string(e.Outcome)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Time, decision.OneLine(what, 64), decision.OneLine(e.Place.String(), 300), eventWords(e))
	}
	return w.Flush()
}

func eventWords(e bulkexplain.Event) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if e.DecisionID != "" {
		add("decision %s", e.DecisionID)
	}
	switch e.Kind {
	case bulkexplain.EventSubmitted, bulkexplain.EventRedriven:
		if e.TaskID != "" {
			add("%s for %s/%s", e.State, e.ProfileID, e.TaskID)
		}
		if e.BatchID != "" && e.BatchLine > 0 {
			add("row %d of batch %s", e.BatchLine, e.BatchID)
		} else if e.BatchID != "" {
			add("batch %s", e.BatchID)
		}
		if e.Source != "" {
			add("source %s", e.Source)
		}
		if e.Why != "" {
			add("reason %q", e.Why)
		}
		if e.Redrives > 0 {
			add("redrive %d", e.Redrives)
		}
	case bulkexplain.EventSettled, bulkexplain.EventDeadLettered:
		if e.Kind == bulkexplain.EventDeadLettered {
			add("%s", e.Reason)
		}
		add("%s", plural(e.Attempts, "attempt"))
		if e.HTTPStatus != 0 {
			add("HTTP %d", e.HTTPStatus)
		}
		if e.Error != "" {
			add("%s", e.Error)
		}
		add("of %s", e.Origin)
	}
	if e.Note != "" {
		add("%s", e.Note)
	}
	// A tab would begin a column.
	return decision.OneLine(strings.Join(words, ", "), 4096)
}
