package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/bulk/atomicfile"
	bulkfollow "verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// followOptions are the flags of follow.
type followOptions struct {
	report  string // empty: none
	lane    string
	since   timeFlag
	once    bool
	timeout time.Duration // 0: none
}

func followCommand(s Process) *cobra.Command {
	var o followOptions
	cmd := &cobra.Command{
		Use:   "follow BATCH",
		Short: "Follow a batch until every decision is settled",
		Long: `Follow reads the decisions of a batch and their results and dead letters, and
waits until every decision is settled. It only reads from Kafka, so it can be
started at any time and on any machine, even long after the batch was submitted.
Decisions that "verdict submit" did not send are found by their batch_id.

Each decision counts once, by its latest outcome: a redriven dead letter counts by
its outcome after the redrive.

Which decisions "verdict submit" sent as the batch is known by the ledger; others
that name it are not counted then.

Standard output has the missing decisions, if any, the dead letters by reason, and
this line, in which the other numbers add up to "submitted" (waiting=N follows if any wait):

  ` + strings.ReplaceAll(new(bulkfollow.Summary).Reconciliation(), "=0", "=N") + `

A decision is missing if the service has passed it and left neither a result nor a
dead letter. It is waiting if its turn has not come.

The exit status is 1 if a decision was dead-lettered, is missing or is waiting.`,
		Example: `  verdict follow spring-review

  # Write one row per decision
  verdict follow spring-review --report spring-review.csv

  # Show the current state, without waiting
  verdict follow spring-review --once --since 7d`,
		Args:              oneArg("the ID of a batch"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			usage := func(err error) error { return &usageError{cmd.CommandPath(), err} }
			if o.timeout < 0 {
				return usage(fmt.Errorf("--timeout: must not be negative, is %v", o.timeout))
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			topics, err := laneTopics(cfg.Kafka.Topics, o.lane)
			if err != nil {
				return usage(err)
			}
			return follow(cmd.Context(), s, cfg, args[0], topics, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.report, "report", "", "write one row per decision to this CSV `FILE` at the end")
	f.StringVar(&o.lane, "lane", laneAll, "`lane` that has the batch's decisions: live, backfill or all")
	f.Var(&o.since, "since", "ignore older records: a time, or an age such as 36h or 7d (default: read everything)")
	f.BoolVar(&o.once, "once", false, "show the current state, without waiting")
	f.DurationVar(&o.timeout, "timeout", 0, "maximum time to wait (0: until every decision is settled)")
	completeValues(cmd, "lane", append(laneNames, laneAll))
	completeValues(cmd, "since", nil)
	completeValues(cmd, "timeout", nil)
	configFlags(cmd)
	return cmd
}

// follow follows a batch whose decisions are in the given topics.
func follow(ctx context.Context, s Process, cfg configs.Config, batchID string, topics []string, o followOptions) (err error) {
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
	progress := term.NewProgress(s.Err)
	sum, err := followInto(ctx, o.report, bulkfollow.Options{
		Connection: connection, BatchID: batchID, Decisions: topics, Since: o.since.time, Once: o.once, Timeout: o.timeout,
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters, Group: cfg.Kafka.GroupID,
		Batch:    batchInLedger(cfg, connection, batchID, logRetries(log)),
		Progress: func(sum bulkfollow.Summary) { progress.Set(followProgress(sum)) },
		Decode:   reader.read,
		WentBack: func(ctx context.Context) (func(decision.Position) bool, error) {
			return wentBack(ctx, cfg, connection)
		},
		Retrying: logRetries(log),
	})
	progress.Finish()
	switch {
	case err != nil && ctx.Err() == nil, err != nil && sum.Submitted == 0:
		return err
	case err != nil:
		// The user stopped it: print what is known so far.
		_ = writeFollowed(s.Out, sum, false)
		return errors.New("stopped; run the same command again to continue")
	}
	return writeFollowed(s.Out, sum, o.report != "")
}

// batchInLedger returns a function that reads what the ledger says of a batch.
func batchInLedger(cfg configs.Config, connection *broker.Connection, id string, retrying func(error)) func(ctx context.Context) (*ledger.Batch, error) {
	return func(ctx context.Context) (*ledger.Batch, error) {
		state, err := readLedger(ctx, cfg, connection, retrying)
		if err != nil || state == nil {
			return nil, err
		}
		e, known := state.Batch(id)
		if known && e.Batch.Approval != nil && e.Batch.Approval.By == nil && state.Hold(ledger.HoldBatch(id)).Cancelled != nil {
			return nil, fmt.Errorf("batch %s was cancelled before it was approved; none of its decisions was in a lane", id)
		}
		return e.Batch, nil
	}
}

// followInto follows a batch and writes the report, if the path is not empty. A
// report appears under its name only when it is complete.
func followInto(ctx context.Context, report string, o bulkfollow.Options) (bulkfollow.Summary, error) {
	if report == "" {
		return bulkfollow.Follow(ctx, o)
	}
	var sum bulkfollow.Summary
	var followErr error
	err := atomicfile.Replace(report, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<16)
		o.Report = w
		sum, followErr = bulkfollow.Follow(ctx, o)
		return errors.Join(followErr, w.Flush())
	})
	switch {
	case followErr != nil:
		return sum, followErr
	case err != nil:
		return sum, fmt.Errorf("write --report: %w", err)
	}
	return sum, nil
}
