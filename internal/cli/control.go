package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/bulk/rows"
	"verdict/internal/control"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/term"
)

// targetFlags say what is held or resumed: a batch, by an argument, or a lane or a task.
type targetFlags struct{ lane, task string }

func (f *targetFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.lane, "lane", "", "a `lane` instead of a batch: live or backfill")
	cmd.Flags().StringVar(&f.task, "task", "", "a task instead of a batch, as `PROFILE/TASK`")
	completeValues(cmd, "lane", laneNames)
	completeValues(cmd, "task", nil)
}

// args checks the arguments: one of BATCH, --lane and --task is wanted.
func (f *targetFlags) args(cmd *cobra.Command, args []string) error {
	n := len(args)
	for _, flag := range []string{f.lane, f.task} {
		if flag != "" {
			n++
		}
	}
	if n != 1 {
		return &usageError{cmd.CommandPath(), errors.New("wants one of: the ID of a batch, --lane LANE, --task PROFILE/TASK")}
	}
	return nil
}

// key returns the key of what is held.
func (f *targetFlags) key(t configs.Topics, args []string) (ledger.Key, error) {
	switch {
	case f.lane != "":
		if !slices.Contains(laneNames, f.lane) {
			return ledger.Key{}, fmt.Errorf("--lane: must be live or backfill, is %q", f.lane)
		}
		if _, err := laneTopics(t, f.lane); err != nil {
			return ledger.Key{}, err
		}
		for _, lane := range decision.Lanes {
			if lane.String() == f.lane {
				return ledger.HoldLane(lane), nil
			}
		}
	case f.task != "":
		profile, task, _ := strings.Cut(f.task, "/")
		if !decision.ValidID(profile) || !decision.ValidID(task) {
			return ledger.Key{}, fmt.Errorf("--task: must be PROFILE/TASK, both 8-4-4-4-12 hexadecimal digits, is %q", f.task)
		}
		return ledger.HoldTask(decision.NewTask(profile, task)), nil
	}
	if err := rows.ValidBatchID(args[0]); err != nil {
		return ledger.Key{}, err
	}
	return ledger.HoldBatch(args[0]), nil
}

// connectLedger connects to Kafka, and returns where the ledger is. The caller closes the
// connection.
func connectLedger(s Process, cfg configs.Config, author ledger.Author) (*broker.Connection, store.Options, error) {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return nil, store.Options{}, err
	}
	o, err := app.Ledger(cfg, connection, author)
	if err != nil {
		connection.Close()
		return nil, o, err
	}
	o.Retrying = logRetries(newLogger(s, cfg.Log))
	return connection, o, nil
}

// changeCommand runs a command that makes one change of the ledger. do makes it, and
// returns the line to print about it.
func changeCommand(cmd *cobra.Command, s Process, by *authorFlags, do func(ctx context.Context, cfg configs.Config, o store.Options) (control.Made, string, error)) error {
	cfg, err := loadConfig(cmd, s, false)
	if err != nil {
		return err
	}
	author, err := by.author(cmd, s)
	if err != nil {
		return err
	}
	connection, o, err := connectLedger(s, cfg, author)
	if err != nil {
		return err
	}
	defer connection.Close()
	made, line, err := do(cmd.Context(), cfg, o)
	if err != nil {
		return err
	}
	switch {
	case !made.Changed:
	case made.Instances > 0:
		line += "; obeyed within a second by " + term.Plural(made.Instances, "instance")
	default:
		fmt.Fprintln(s.Err, "no instance is known to be running; it counts for those that start")
	}
	_, err = fmt.Fprintln(s.Out, line)
	return err
}

// since says since when, by whom and why an entry is there: " since 2026-11-12T09:00:00.000Z
// by ops@backoffice (wrong file)".
func since(e ledger.Entry) string {
	text := fmt.Sprintf(" since %s by %s", decision.Time{Time: e.At}, term.OneLine(e.Actor))
	if e.Why != "" {
		text += " (" + term.OneLine(e.Why) + ")"
	}
	return text
}

// controlOptions returns the group whose state a command reads.
func controlOptions(cfg configs.Config, o store.Options, reader *recordReader) control.Options {
	c := control.Options{
		Ledger: o, Latest: cfg.Kafka.StartOffset == configs.StartLatest, Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		Rate: cfg.API.RateLimit, Decode: reader.read, Retrying: o.Retrying,
		WentBack: func(ctx context.Context) (func(decision.Position) bool, error) {
			return wentBack(ctx, cfg, o.Connection)
		},
	}
	for _, lane := range cfg.Kafka.Topics.Lanes() {
		c.Lanes = append(c.Lanes, control.Lane{Name: lane.Lane.String(), Topic: lane.Topic})
	}
	return c
}

// withGroup runs a command that reads the state of the group. Its author is named where the
// result of a batch is noted.
func withGroup(cmd *cobra.Command, s Process, do func(ctx context.Context, o control.Options) error) (err error) {
	cfg, err := loadConfig(cmd, s, false)
	if err != nil {
		return err
	}
	author, err := new(authorFlags).author(cmd, s)
	if err != nil {
		return err
	}
	connection, o, err := connectLedger(s, cfg, author)
	if err != nil {
		return err
	}
	defer connection.Close()
	reader, err := newRecordReader(cmd.Context(), cfg.Decode, newLogger(s, cfg.Log))
	if err != nil {
		return err
	}
	defer func() { err = reader.close(err) }()
	return do(cmd.Context(), controlOptions(cfg, o, reader))
}

// showReading makes a command show how far it has read. finish ends that.
func showReading(s Process, o *control.Options) (finish func()) {
	progress := term.NewProgress(s.Err)
	o.Progress = func(read int64) { progress.Set(term.Plural(read, "record") + " read") }
	return progress.Finish
}
