package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/bulk/approve"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/term"
)

func approveCommand(s Process) *cobra.Command {
	var who authorFlags
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "approve BATCH",
		Short: "Let a batch go that waits for a second person's word",
		Long: `Approve moves a batch from the topic of held decisions (kafka.topics.held) to the
lane that it was submitted for, in order and each decision once. With
bulk.approval every batch waits there until another person than its submitter
approves it.

If it is cut off, run it again, on any machine: it goes on from where it was.

The last line on standard output is:

  batch_id=ID decisions=N earlier=N moved=N`,
		Example: `  # Which batches wait?
  verdict batches

  verdict approve spring-review --why "checked 20 of them, ticket OPS-311"`,
		Args: oneArg("the ID of a batch"),
		RunE: func(cmd *cobra.Command, args []string) error {
			author, err := who.author(cmd, s)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			return approveBatch(cmd.Context(), s, cfg, approve.Options{Batch: args[0], Targets: cfg.Kafka.Topics.Inputs()}, author, dryRun, !yes && term.IsTerminal(s.In))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&yes, "yes", false, "do not ask for confirmation")
	f.BoolVar(&dryRun, "dry-run", false, "show the batch, and approve nothing")
	who.register(cmd, false)
	configFlags(cmd)
	return cmd
}

func approveBatch(ctx context.Context, s Process, cfg configs.Config, o approve.Options, author ledger.Author, dryRun, ask bool) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	if o.Store, err = app.Ledger(cfg, connection, author); err != nil {
		return err
	}
	o.Store.Retrying = logRetries(newLogger(s, cfg.Log))
	state, err := store.Read(ctx, o.Store, nil)
	if err != nil {
		return err
	}
	e, err := approve.Check(state, o.Batch, author.Actor)
	if done, ok := errors.AsType[*approve.DoneError](err); ok {
		fmt.Fprintln(s.Err, "warning:", done)
		return writeApproved(s, o.Batch, approve.Summary{Size: e.Batch.Sent, Earlier: e.Batch.Sent})
	}
	if err != nil {
		return err
	}
	writeWaiting(s, o.Batch, e.Batch)
	if dryRun {
		return nil
	}
	if ask && !term.Confirm(s.In, s.Err, fmt.Sprintf("Move %s to %s?", term.Plural(e.Batch.Sent-e.Batch.Approval.Count, "decision"), e.Batch.Approval.To)) {
		return errors.New("nothing was approved")
	}
	counter := term.NewCounter(s.Err, "moved", e.Batch.Sent)
	o.Progress = counter.Set
	sum, err := approve.Approve(ctx, o)
	counter.Finish()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped with %s of %s moved; run the same command again to continue", term.Commas(sum.Earlier+sum.Moved), term.Plural(sum.Size, "decision"))
	}
	if err != nil && sum.Size == 0 {
		return err // nothing was begun
	}
	return errors.Join(err, writeApproved(s, o.Batch, sum))
}

// writeWaiting says what is to be approved.
func writeWaiting(s Process, id string, b *ledger.Batch) {
	fmt.Fprintf(s.Out, "batch %s: %s, submitted by %s at %s", id, term.Plural(b.Sent, "decision"),
		decision.OneLine(b.Submitter.Actor, 100), b.Began.UTC().Format(time.RFC3339))
	for i, file := range b.Files {
		fmt.Fprint(s.Out, []string{" from ", ", "}[min(i, 1)], decision.OneLine(file, 200))
	}
	fmt.Fprintln(s.Out)
	if b.Submitter.Why != "" {
		fmt.Fprintf(s.Out, "why: %s\n", decision.OneLine(b.Submitter.Why, 1000))
	}
}

func writeApproved(s Process, id string, sum approve.Summary) error {
	_, err := fmt.Fprintf(s.Out, "batch_id=%s decisions=%d earlier=%d moved=%d\n", id, sum.Size, sum.Earlier, sum.Moved)
	return err
}
