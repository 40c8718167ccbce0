package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	bulkfollow "verdict/internal/bulk/follow"
	bulkverify "verdict/internal/bulk/verify"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/term"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	rate       float64 // calls per second
	report     string  // empty: none
	checkpoint string  // empty: the default
	json       bool
}

const (
	// verifyShare is the share of api.rate_limit that verify takes by default.
	verifyShare = 0.05
	// verifyRate is its rate where api.rate_limit is unlimited, per second.
	verifyRate = 2.5
	// verifyConnections are as many as verify makes calls at once.
	verifyConnections = 4
)

func verifyCommand(s Process) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify BATCH",
		Short: "Compare the tasks of a batch with the API",
		Long: `Verify asks the API for the state of every task that a batch completed, and
prints a line for each task that is in another state by now, is gone, or cannot be
read. A task is expected in the state of the batch's last decision on it that ended
as completed or already_complete. Decisions that were dead-lettered or skipped, or
that still wait, are counted and not compared.

Verify needs the API key and the right to read the topics. It changes nothing, at
the API or in Kafka. It makes at most --rate calls per second, besides those of the
service: by default 5 % of api.rate_limit. A million tasks take five days at 2.5
calls per second, so an interrupted verify can be continued: it leaves a checkpoint,
and the same command goes on from there. Each task counts as it was when it was
asked for.

The last line on standard output is:

  tasks=N same=N differ=N gone=N unreadable=N unsettled=N skipped=N dead_lettered=N calls=N

where "tasks" is the sum of the next four. The exit status is 1 if any task differs,
is gone or cannot be read.`,
		Example: `  verdict verify spring-review

  # Write a row for each difference, with 10 calls per second
  verdict verify spring-review --rate 10 --report drift.csv`,
		Args:              oneArg("the ID of a batch"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			usage := func(err error) error { return &usageError{cmd.CommandPath(), err} }
			cfg, err := loadConfig(cmd, s, true)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("rate") {
				o.rate = defaultVerifyRate(cfg.API.RateLimit)
			}
			switch limit := cfg.API.RateLimit; {
			case !(o.rate > 0 && o.rate <= 1e6):
				return usage(fmt.Errorf("--rate: must be more than 0 calls per second, is %v", o.rate))
			case limit > 0 && o.rate > limit:
				return usage(fmt.Errorf("--rate: must be at most api.rate_limit, %v calls per second, is %v", limit, o.rate))
			}
			if o.checkpoint == "" {
				o.checkpoint = checkpointName(args[0])
			}
			return verify(cmd.Context(), s, cfg, args[0], o)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.rate, "rate", 0, "`calls` per second (default: 5 % of api.rate_limit, or 2.5 without a limit)")
	f.StringVar(&o.report, "report", "", "write one row per difference to this CSV `FILE`")
	f.StringVar(&o.checkpoint, "checkpoint", "", "where an interrupted verify notes how far it got (`FILE`, default: BATCH.verify)")
	f.BoolVar(&o.json, "json", false, "print each difference, and the summary, as a JSON object on its own line")
	completeValues(cmd, "rate", nil)
	configFlags(cmd)
	return cmd
}

// defaultVerifyRate returns the default of --rate.
func defaultVerifyRate(limit float64) float64 {
	if limit > 0 {
		return limit * verifyShare
	}
	return verifyRate
}

// checkpointName returns the default of --checkpoint, without characters that a file name
// cannot have.
func checkpointName(batchID string) string {
	return strings.Map(func(r rune) rune {
		if r == filepath.Separator || r == '/' || r == ':' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, batchID) + ".verify"
}

// verify verifies a batch.
func verify(ctx context.Context, s Process, cfg configs.Config, batchID string, o verifyOptions) (err error) {
	key, err := app.NewKey(cfg.API)
	if err != nil {
		return err
	}
	client, err := app.NewClient(cfg.API, key, verifyConnections, nil)
	if err != nil {
		return err
	}
	defer client.Close()
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
	reading := term.NewProgress(s.Err)
	batch := bulkfollow.Options{
		Connection: connection, BatchID: batchID, Decisions: cfg.Kafka.Topics.Inputs(),
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		Progress: func(sum bulkfollow.Summary) { reading.Set(term.Plural(sum.Read, "record") + " read") },
		Decode:   reader.read, Retrying: logRetries(log),
		WentBack: func(ctx context.Context) (func(decision.Position) bool, error) {
			return wentBack(ctx, cfg, connection)
		},
	}
	if err := findBatch(ctx, cfg, connection, &batch); err != nil {
		return err
	}
	var counter *term.Counter
	sum, err := bulkverify.Verify(ctx, bulkverify.Options{
		Follow: batch, API: client, Rate: o.rate, Checkpoint: o.checkpoint, Scope: cfg.Kafka.GroupID + " " + cfg.API.BaseURL, Report: o.report, Log: log,
		Difference: func(d bulkverify.Difference) error { return writeDifference(s.Out, d, o.json) },
		Progress: func(p bulkverify.Progress) {
			if counter == nil {
				reading.Finish()
				counter = term.NewCounter(s.Err, "tasks verified", p.Tasks)
				counter.Start(p.Done - 1)
			}
			counter.Set(p.Done)
		},
	})
	if counter == nil {
		reading.Finish()
	} else {
		counter.Finish()
	}
	switch {
	case err != nil && sum.Tasks == 0:
		return err
	case err != nil:
		if ctx.Err() != nil {
			err = errors.New("stopped")
		}
		return fmt.Errorf("%w; %s verified so far, and %s says how far it got: run the same command again to continue", err, term.Plural(sum.Tasks, "task"), o.checkpoint)
	}
	if err := writeVerified(s.Out, sum, o.json); err != nil {
		return err
	}
	if drift := sum.Drift(); drift > 0 {
		return fmt.Errorf("%s of %s not as the results say: %d differ, %d gone, %d unreadable",
			term.Commas(drift), term.PluralIs(sum.Tasks, "task"), sum.Differ, sum.Gone, sum.Unreadable)
	}
	return nil
}

// findBatch looks the batch up in the ledger. A batch of the first edition is not there; it
// is known by the ID in its records.
func findBatch(ctx context.Context, cfg configs.Config, connection *broker.Connection, f *bulkfollow.Options) error {
	state, err := readLedger(ctx, cfg, connection, f.Retrying)
	if err != nil || state == nil {
		return err
	}
	e, ok := state.Batch(f.BatchID)
	if !ok {
		return nil
	}
	b := e.Batch
	f.Runs = b.Runs
	if !b.Began.IsZero() {
		f.Since = b.Began.Add(-clockSkew)
	}
	// A redrive's topic is the one of dead letters; they went to those that they came from.
	if topic, begin := b.Lane(); !b.Redrive && topic != "" {
		f.Decisions, f.Begin = []string{topic}, map[string]map[int]int64{topic: begin}
	}
	if len(b.Runs) == 0 || b.FirstEdition { // some of its rows name no run
		f.Runs = nil
	}
	return nil
}

// readLedger returns the ledger for a command that only reads; nil: there is none.
func readLedger(ctx context.Context, cfg configs.Config, connection *broker.Connection, retrying func(error)) (*ledger.State, error) {
	cfg.Control.SignKeyFile = "" // nothing is written
	o, err := app.Ledger(cfg, connection, ledger.Author{})
	if err != nil {
		return nil, err
	}
	o.Retrying = retrying
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	state, err := store.Read(within, o, nil)
	if errors.Is(err, store.ErrMissing) {
		return nil, nil
	}
	return state, err
}
