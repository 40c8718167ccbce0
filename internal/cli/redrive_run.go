package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// redriveRun is one run of `verdict redrive`.
type redriveRun struct {
	process Process
	cfg     configs.Config
	options redriveOptions
	filter  bulkredrive.Filter
	edit    []byte // nil: none
	ask     bool   // whether to ask for confirmation

	refused []bulkredrive.RefusedLetter // the first maxRefusals
}

// run surveys the dead letters, prints what it found, and sends them back.
func (r *redriveRun) run(ctx context.Context) (err error) {
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
	var awaitLock func(context.Context) error
	if !r.options.dryRun {
		lock, err := r.lock(ctx, connection)
		if err != nil {
			return stoppedBeforeRedriving(ctx, err)
		}
		defer lock.Close()
		awaitLock = lock.AwaitHeld
	}
	progress := term.NewProgress(r.process.Err)
	redriver, err := bulkredrive.New(ctx, r.bulkOptions(connection, awaitLock, progress, reader.read))
	if err != nil {
		return stoppedBeforeRedriving(ctx, err)
	}
	survey, err := redriver.Scan(ctx)
	progress.Finish()
	if err != nil {
		return stoppedBeforeRedriving(ctx, err)
	}
	refusals := writeRefused(r.process.Out, survey, r.refused)
	if r.options.dryRun || r.ask {
		writeSurvey(r.process.Out, survey)
	}
	if r.ask && survey.Chosen > 0 && !term.Confirm(r.process.In, r.process.Err, fmt.Sprintf("Send %s back?", term.Plural(survey.Chosen, "dead letter"))) {
		return errors.New("nothing was sent back")
	}
	if survey.Chosen+survey.Already+refusals == 0 && !r.filter.Any() {
		fmt.Fprintf(r.process.Err, "none of the %s matches the filters\n", term.Plural(survey.Read, "dead letter"))
	}
	var done bulkredrive.Summary
	if !r.options.dryRun && survey.Chosen > 0 {
		done, err = redriver.Run(ctx)
		progress.Finish()
	}
	if ctx.Err() != nil {
		err = errors.New("stopped; run the same command again to continue")
	}
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("Kafka permanently refuses %s; see the log for the reasons", term.Plural(done.Failed, "record"))
	}
	_, failed := fmt.Fprintf(r.process.Out, "chosen=%d redriven=%d failed=%d refused=%d already=%d\n", survey.Chosen, done.Redriven, done.Failed, refusals, survey.Already)
	return errors.Join(err, failed)
}

// lock waits until no other redrive is at work.
func (r *redriveRun) lock(ctx context.Context, connection *broker.Connection) (*bulkredrive.Lock, error) {
	return bulkredrive.AcquireLock(ctx, connection, r.cfg.Kafka.GroupID, r.cfg.Kafka.Topics.DeadLetters, func(host string, most time.Duration) {
		fmt.Fprintf(r.process.Err, "another redrive is running on %s, or was killed there; waiting up to %v for it to end\n", decision.OneLine(host, 256), most)
	})
}

// bulkOptions returns the options of the package that does the work.
func (r *redriveRun) bulkOptions(connection *broker.Connection, awaitLock func(context.Context) error, progress *term.Progress, decode func(*decision.Record) (decision.Decision, error)) bulkredrive.Options {
	return bulkredrive.Options{
		Connection: connection, Group: r.cfg.Kafka.GroupID, DeadLetters: r.cfg.Kafka.Topics.DeadLetters,
		Targets: redriveTargets(r.cfg.Kafka.Topics), AnyTopic: r.options.anyTopic,
		Filter: r.filter, Limit: r.options.limit, Rate: r.options.rate, MaxRedrives: r.options.maxRedrives, Edit: r.edit,
		AwaitLock: awaitLock,
		Refused: func(l bulkredrive.RefusedLetter) {
			if len(r.refused) < maxRefusals {
				r.refused = append(r.refused, l)
			}
		},
		Progress: func(read, redriven int64) {
			progress.Set(fmt.Sprintf("%s dead letters read, %s redriven", term.Commas(read), term.Commas(redriven)))
		},
		Decode:   decode,
		Retrying: logRetries(newLogger(r.process, r.cfg.Log)),
	}
}

// redriveTargets returns the topics whose records can become dead letters.
func redriveTargets(t configs.Topics) []string { return append(t.Inputs(), t.CheckResults) }

// stoppedBeforeRedriving returns err, or says that the user stopped the command.
func stoppedBeforeRedriving(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("stopped before anything was sent back")
	}
	return err
}
