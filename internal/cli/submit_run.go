package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/bulk/remembered"
	"verdict/internal/bulk/rows"
	bulksubmit "verdict/internal/bulk/submit"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// submit checks the files, sends the batch and, with --wait, follows it.
func submit(ctx context.Context, s Process, cfg configs.Config, files []string, o submitOptions, author ledger.Author) error {
	start := time.Now()
	in, err := rows.Open(ctx, files, s.In, "")
	if err != nil {
		return stoppedBeforeSending(ctx, err)
	}
	defer in.Close()
	asked := new(remembered.Asked)
	batch, err := checkRows(ctx, s, in, o, asked)
	if err != nil {
		return stoppedBeforeSending(ctx, err)
	}
	defer batch.Close()
	writeRowFindings(s.Out, batch, len(files) > 1, o.rejects)
	if o.rejects != "" {
		if err := batch.WriteRejects(ctx, o.rejects); err != nil {
			return stoppedBeforeSending(ctx, err)
		}
	}
	var sent bulksubmit.Summary
	switch {
	case batch.Invalid > 0 && !o.skipInvalid:
		err = invalidRows(batch)
	case len(batch.Unsent()) > 0:
		err = nothingToSend(batch)
	case !o.dryRun && batch.Size() > 0:
		if o.again {
			asked = nil
		}
		sent, err = sendBatch(ctx, s, cfg, batch, o, asked, author, newLogger(s, cfg.Log))
	}
	if before, ok := errors.AsType[*bulksubmit.SentBeforeError](err); ok {
		err = fmt.Errorf("%s of %s were sent in batch %s on %s by %s; nothing was sent: leave them out, or --again sends them under new IDs",
			term.Commas(before.Rows), term.Plural(before.Of, "row"), before.Batch, before.At.UTC().Format("2 January 2006"), decision.OneLine(before.By.Actor, 100))
	}
	id := batch.ID
	alreadySent, already := errors.AsType[*bulksubmit.AlreadySentError](err)
	if already {
		id = alreadySent.BatchID
	}
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(s.Out, "batch_id=%s rows=%d invalid=%d superseded=%d duplicates=%d submitted=%d earlier=%d seconds=%.2f rate=%.1f\n",
		id, batch.Rows, batch.Invalid, batch.Superseded, batch.Duplicates, sent.Sent, sent.Earlier, seconds, float64(sent.Sent)/max(seconds, 0.001))
	if cfg.Bulk.Approval && err == nil && sent.Sent+sent.Earlier > 0 {
		fmt.Fprintf(s.Err, "batch %s waits for approval by another person: verdict approve %s\n", id, id)
	}
	if already && o.wait {
		fmt.Fprintln(s.Err, "warning:", alreadySent)
		err = nil
	}
	if err != nil || !o.wait || batch.Size() == 0 {
		return err
	}
	wait := followOptions{report: o.report}
	if !sent.Began.IsZero() {
		wait.since.time = sent.Began.Add(-clockSkew)
	}
	topics, err := laneTopics(cfg.Kafka.Topics, o.lane)
	if err != nil {
		return err
	}
	return follow(ctx, s, cfg, id, topics, wait)
}

// clockSkew is the largest assumed difference between the clocks of machines that
// write to Kafka: --wait also reads results that are older than the batch by less.
const clockSkew = time.Hour

// stoppedBeforeSending returns err, or says that the user stopped the command.
func stoppedBeforeSending(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("stopped before anything was sent")
	}
	return err
}

// checkRows checks the files and prints warnings about them.
func checkRows(ctx context.Context, s Process, in *rows.Input, o submitOptions, asked *remembered.Asked) (*rows.Batch, error) {
	counter := term.NewCounter(s.Err, "rows checked", -1)
	batch, err := rows.Check(ctx, in, rows.CheckOptions{
		Rows: o.rows, BatchID: o.batchID, LastWins: o.lastWins, Override: o.override, SkipInvalid: o.skipInvalid, MaxFindings: maxRowFindings, Checked: counter.Set,
		Valid: func(d *decision.Decision) { asked.Add(remembered.RowOf(d)) },
	})
	counter.Finish()
	if err != nil {
		return nil, err
	}
	for _, w := range submitWarnings(batch) {
		fmt.Fprintln(s.Err, "warning:", w)
	}
	if batch.Invalid > 0 {
		for _, h := range batch.Hints {
			fmt.Fprintln(s.Err, "hint:", h)
		}
	}
	return batch, nil
}

// nothingToSend returns the error for files that have content, but no row to send.
func nothingToSend(batch *rows.Batch) error {
	names := batch.Unsent()
	if batch.Rows == batch.Blank {
		return fmt.Errorf("%s: there are no rows below the header, so nothing was sent", strings.Join(names, ", "))
	}
	return fmt.Errorf("%s: no row can be sent, so nothing was sent; correct the file, or leave it out", strings.Join(names, ", "))
}

// invalidRows returns the error for a batch that is not sent.
func invalidRows(batch *rows.Batch) error {
	hint := "or send the others with --skip-invalid"
	switch {
	case len(batch.Hints) > 0:
		hint = "do what a hint above says, or send the others with --skip-invalid"
	case batch.Invalid == batch.Rows-batch.Blank:
		return fmt.Errorf("%s of %s invalid, so nothing was sent; correct them", term.Commas(batch.Invalid), term.PluralIs(batch.Rows-batch.Blank, "row"))
	}
	return fmt.Errorf("%s of %s invalid, so nothing was sent; correct them, %s", term.Commas(batch.Invalid), term.PluralIs(batch.Rows-batch.Blank, "row"), hint)
}

// sendBatch sends a batch and shows its progress.
func sendBatch(ctx context.Context, s Process, cfg configs.Config, batch *rows.Batch, o submitOptions, asked *remembered.Asked, author ledger.Author, log *slog.Logger) (bulksubmit.Summary, error) {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return bulksubmit.Summary{}, err
	}
	defer connection.Close()
	where, err := app.Ledger(cfg, connection, author)
	if err != nil {
		return bulksubmit.Summary{}, err
	}
	topic := cfg.Kafka.Topics.Backfill
	if o.lane == decision.Live.String() {
		topic = cfg.Kafka.Topics.Decisions
	}
	lane := "" // that the batch needs approval for
	if cfg.Bulk.Approval {
		lane, topic = topic, cfg.Kafka.Topics.Held
	}
	stopAt := cfg.Bulk.StopAt
	if o.stopAt.text != "" {
		stopAt = o.stopAt.share
	}
	var acknowledged atomic.Int64
	counter := term.NewCounter(s.Err, "sent", batch.Size())
	done := make(chan struct{})
	var showing sync.WaitGroup
	sent, err := bulksubmit.Submit(ctx, batch, bulksubmit.Options{
		Ledger: where, Topic: topic, For: lane, Fingerprints: cfg.Kafka.Topics.Fingerprints, Asked: asked, StopAt: stopAt, Rate: o.rate, Acknowledged: &acknowledged, Log: log,
		OnStart: func(before int64) {
			counter.Start(before)
			showing.Go(func() { showCount(counter, &acknowledged, done) })
		},
	})
	close(done)
	showing.Wait()
	counter.Finish()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped with %s of %s sent; run the same command again, here or on another machine, to continue",
			term.Commas(acknowledged.Load()), term.Plural(batch.Size(), "decision"))
	}
	return sent, err
}

// showCount shows a number as it grows.
func showCount(counter *term.Counter, n *atomic.Int64, done <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			counter.Set(n.Load())
		case <-done:
			return
		}
	}
}
