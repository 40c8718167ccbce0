package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	bulkexplain "verdict/internal/bulk/explain"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// explainSince is the default of --since.
const explainSince = "7d"

func explainCommand(s Process) *cobra.Command {
	var since timeFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain DECISION | TASK | PROFILE | PROFILE/TASK",
		Short: "Show what happened to a decision, a task or a profile",
		Long: `Explain finds the records of a decision in the topics of decisions, results and
dead letters, and prints its history in chronological order: submitted,
dead-lettered with the error, redriven, settled. A pending decision is shown with
what the consumer group's latest commit tells of it: how many records before it are
not settled, how many attempts at it failed, and whether one of them may have
completed the task.

The history has the commands that touched the decision, by the audit topic: those
on its batch and on the redrives that it was in, and holds of its lane and its task
while it waited. What holds or cancels a pending decision now is listed at the end.

The ID of a task or of a profile, or PROFILE/TASK, shows every decision on it. A
decision without an ID is named by its place, topic/partition/offset.

Explain only reads from Kafka. It fails if it finds nothing newer than --since.`,
		Example: `  verdict explain spring-review/1741
  verdict explain task-decisions/3/12007

  # Every decision on a task
  verdict explain 70ff753d-3c88-ad8a-bd70-73d26c7e40ec

  # The same of the last 30 days, as JSON lines
  verdict explain 3ceaaf30-8142-c8ea-91d9-3080f9b439fc/70ff753d-3c88-ad8a-bd70-73d26c7e40ec --since 30d --json`,
		Args:              oneArg("the ID of a decision, of a task or of a profile, or PROFILE/TASK"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !decision.ValidDecisionID(args[0]) && len(args[0]) <= decision.MaxIDLength {
				return &usageError{cmd.CommandPath(), fmt.Errorf("%q cannot be the ID of a decision: an ID has printable characters only", args[0])}
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
	cmd.Flags().Var(&since, "since", "ignore older records: a time, or an age such as 36h or 30d (default "+explainSince+")")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each event as a JSON object on its own line")
	completeValues(cmd, "since", nil)
	configFlags(cmd)
	return cmd
}

// explain prints the events of a decision or of a task.
func explain(ctx context.Context, s Process, cfg configs.Config, subject string, since timeFlag, asJSON bool) (err error) {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	log := newLogger(s, cfg.Log)
	reader, err := newRecordReader(ctx, cfg.Decode, log)
	if err != nil {
		return err
	}
	defer func() { err = reader.close(err) }()
	cfg.Control.SignKeyFile = "" // nothing is written
	where, err := app.Ledger(cfg, connection, ledger.Author{})
	if err != nil {
		return err
	}
	lanes := make(map[string]decision.Lane)
	for _, l := range cfg.Kafka.Topics.Lanes() {
		lanes[l.Topic] = l.Lane
	}
	found, err := bulkexplain.Explain(ctx, bulkexplain.Options{
		Ledger: &where, Lanes: lanes, MaxBackoff: cfg.Processor.BackoffMax,
		Held:       cfg.Kafka.Topics.Held,
		Connection: connection, Decisions: cfg.Kafka.Topics.Inputs(), Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		Group: cfg.Kafka.GroupID, Since: since.time, Decode: reader.read, Retrying: logRetries(log),
	}, subject)
	for _, b := range found.Behind {
		log.Warn("records can't be read yet: they wait behind a producer's open transaction", "topic", b.From.Topic, "partition", b.From.Partition, "offset", b.From.Offset, "records", b.Records)
	}
	if found.Ledger != nil {
		log.Warn("the ledger can't be read: commands and holds may be missing here", "err", found.Ledger)
	}
	if errors.Is(err, bulkexplain.ErrNotFound) {
		return notFound(subject, since, found)
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
		err = errors.Join(err, fmt.Errorf("there are more than the %s shown; narrow the search with --since", term.Plural(len(found.Events), "event")))
	}
	return err
}

// notFound returns the error for a subject of which nothing was found.
func notFound(subject string, since timeFlag, found bulkexplain.Explanation) error {
	hint := "look further back with --since, or name its task or profile"
	if len(found.Behind) > 0 {
		hint = "it may be among the records that wait behind an open transaction, so try again later; otherwise " + hint
	}
	return fmt.Errorf("nothing is known about %q: none of the %s since %s mentions it; %s",
		decision.OneLine(subject, decision.MaxIDLength), term.Plural(found.Read, "record"), decision.Time{Time: since.time}, hint)
}
