package cli

import (
	"context"
	"errors"
	"fmt"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/term"
)

// letterRun is one run of `verdict redrive` or `verdict dismiss`.
type letterRun struct {
	process Process
	cfg     configs.Config
	author  ledger.Author
	options bulkredrive.Options // what the flags say
	dryRun  bool
	ask     bool // whether to ask for confirmation

	refused []bulkredrive.RefusedLetter // the first maxRefusals
}

// run surveys the dead letters, prints what it found, and handles them.
func (r *letterRun) run(ctx context.Context) (err error) {
	connection, err := app.Connect(r.cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	reader, err := newRecordReader(ctx, r.cfg.Decode, newLogger(r.process, r.cfg.Log))
	if err != nil {
		return err
	}
	defer func() { err = reader.close(err) }()
	progress := term.NewProgress(r.process.Err)
	if err := r.complete(connection, progress, reader.read); err != nil {
		return err
	}
	redriver, err := bulkredrive.New(ctx, r.options)
	if err != nil {
		return r.stoppedEarly(ctx, err)
	}
	survey, err := redriver.Scan(ctx)
	progress.Finish()
	if err != nil {
		return r.stoppedEarly(ctx, err)
	}
	refusals := writeRefused(r.process.Out, survey, r.refused)
	if r.dryRun || r.ask {
		writeSurvey(r.process.Out, survey)
	}
	if r.ask && survey.Chosen > 0 && !term.Confirm(r.process.In, r.process.Err, r.question(survey.Chosen)) {
		return errors.New("nothing was " + r.done())
	}
	if survey.Chosen+survey.Already+survey.Dismissed+refusals == 0 && !r.options.Filter.Any() {
		fmt.Fprintf(r.process.Err, "none of the %s matches the filters\n", term.Plural(survey.Read, "dead letter"))
	}
	var done bulkredrive.Summary
	if !r.dryRun && survey.Chosen > 0 {
		done, err = redriver.Run(ctx)
		progress.Finish()
	}
	if ctx.Err() != nil {
		err = errors.New("stopped; run the same command again to continue")
	}
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("Kafka permanently refuses %s; see the log for the reasons", term.Plural(done.Failed, "record"))
	}
	return errors.Join(err, r.writeSummary(survey, done, refusals))
}

func (r *letterRun) writeSummary(survey bulkredrive.Survey, done bulkredrive.Summary, refusals int64) (err error) {
	switch out := r.process.Out; r.options.Action {
	case bulkredrive.SendBack:
		_, err = fmt.Fprintf(out, "chosen=%d redriven=%d failed=%d refused=%d already=%d dismissed=%d\n", survey.Chosen, done.Handled, done.Failed, refusals, survey.Already, survey.Dismissed)
	case bulkredrive.Dismiss:
		_, err = fmt.Fprintf(out, "chosen=%d dismissed=%d already=%d redriven=%d\n", survey.Chosen, done.Handled, survey.Dismissed, survey.Already)
	case bulkredrive.Restore:
		_, err = fmt.Fprintf(out, "chosen=%d restored=%d\n", survey.Chosen, done.Handled)
	}
	return err
}

// question asks whether to handle what was chosen.
func (r *letterRun) question(chosen int64) string {
	if r.options.Limit > 0 {
		chosen = min(chosen, r.options.Limit)
	}
	letters := term.Plural(chosen, "dead letter")
	switch r.options.Action {
	case bulkredrive.Dismiss:
		return fmt.Sprintf("Dismiss %s?", letters)
	case bulkredrive.Restore:
		return fmt.Sprintf("Take the mark away from %s?", letters)
	case bulkredrive.SendBack:
	}
	return fmt.Sprintf("Send %s back?", letters)
}

// done says what is done to dead letters.
func (r *letterRun) done() string {
	if r.options.Action == bulkredrive.SendBack {
		return "sent back"
	}
	return r.options.Action.String()
}

// complete adds to the options what the flags do not say.
func (r *letterRun) complete(connection *broker.Connection, progress *term.Progress, decode func(*decision.Record) (decision.Decision, error)) error {
	t, o := r.cfg.Kafka.Topics, &r.options
	var err error
	if o.Ledger, err = app.Ledger(r.cfg, connection, r.author); err != nil {
		return err
	}
	o.DeadLetters, o.Targets, o.NoDecisions = t.DeadLetters, append(t.Inputs(), t.CheckResults), []string{t.CheckResults}
	o.Never = []string{t.Results, t.Control, t.Audit}
	o.Decode = decode
	o.Retrying = logRetries(newLogger(r.process, r.cfg.Log))
	o.Refused = func(l bulkredrive.RefusedLetter) {
		if len(r.refused) < maxRefusals {
			r.refused = append(r.refused, l)
		}
	}
	o.Progress = func(read, handled int64) {
		progress.Set(fmt.Sprintf("%s dead letters read, %s %s", term.Commas(read), term.Commas(handled), o.Action))
	}
	return nil
}

// stoppedEarly returns err, or says that the user stopped the command.
func (r *letterRun) stoppedEarly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("stopped before anything was " + r.done())
	}
	return err
}

// wentBack returns what reports whether a dead letter went back.
func wentBack(ctx context.Context, cfg configs.Config, connection *broker.Connection) (func(decision.Position) bool, error) {
	cfg.Control.SignKeyFile = "" // nothing is written
	o, err := app.Ledger(cfg, connection, ledger.Author{})
	if err != nil {
		return nil, err
	}
	return bulkredrive.WentBack(ctx, o, cfg.Kafka.Topics.DeadLetters)
}
