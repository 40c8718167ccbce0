package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"verdict/configs"
	"verdict/internal/app"
	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
)

type redriveOptions struct {
	reasons      []string
	batchID      string
	since, until pastTime
	profile      string
	match        string
	limit        int64
	rate         float64
	maxRedrives  int
	edit         string
	anyTopic     bool
	dryRun, yes  bool
}

func redriveCommand(s Process) *cobra.Command {
	var o redriveOptions
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Send dead letters back to where they came from",
		Long: `Redrive sends dead letters back to the topics that they came from: key, value and
headers as they were, with verdict-redrives counted up. Each goes back once,
however often redrive is called, with whatever filters, and also if it is killed on
the way: what went back is committed as that of the consumer group
<kafka.group_id>-redrive, and found again in the topics themselves.

A dead letter is chosen if it meets all of the filters. Without any, redrive asks
first on a terminal, and elsewhere wants --yes. What can't go back is listed: what
was redriven --max-redrives times already, what was too large for its dead letter,
and what names a topic that is none of the configuration's.

--edit reads a JSON merge patch (RFC 7386) that is applied to each value, for
senders that sent a wrong field: {"state": "COMPLETED_FAIL", "reason": null}

On standard output: with --dry-run what would go back, by topic, reason and error
(of those that differ in numbers and IDs alone, one), and always the line

  chosen=N redriven=N failed=N refused=N already=N`,
		Example: `  verdict redrive --dry-run
  verdict redrive --reason retries_exhausted --since 2d --rate 20
  verdict redrive --batch-id spring-review --edit corrected.json
  verdict redrive --match "field is unknown" --limit 10`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := o.validate()
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			var edit []byte
			if o.edit != "" {
				if edit, err = readEdit(o.edit, s.In); err != nil {
					return &usageError{cmd.CommandPath(), fmt.Errorf("--edit: %w", err)}
				}
			}
			terminal := o.edit != "-" && isTerminal(s.In)
			if filter.Any() && !o.yes && !o.dryRun && !terminal {
				return &usageError{cmd.CommandPath(), errors.New("would send every dead letter back; give a filter (--reason, --batch-id, --since, --until, --profile, --match), look first with --dry-run, or say --yes")}
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			ask := terminal && filter.Any() && !o.yes
			return redrive(cmd.Context(), s, cfg, o, filter, edit, ask)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.reasons, "reason", nil, "dead letters with this reason, or one of these ("+strings.Join(reasonNames(), ", ")+")")
	f.StringVar(&o.batchID, "batch-id", "", "dead letters of this batch")
	f.Var(&o.since, "since", "dead-lettered at this time or later: a time, or how long ago (36h, 7d)")
	f.Var(&o.until, "until", "dead-lettered before this time: a time, or how long ago")
	f.StringVar(&o.profile, "profile", "", "dead letters of this profile")
	f.StringVar(&o.match, "match", "", "dead letters whose error or value contains this text, in any case")
	f.Int64Var(&o.limit, "limit", 0, "send back no more than this many (0: all)")
	f.Float64Var(&o.rate, "rate", 0, "send back this many per second (0: as fast as Kafka takes them)")
	f.IntVar(&o.maxRedrives, "max-redrives", bulkredrive.DefaultMaxRedrives, "leave and list what was redriven this often")
	f.StringVar(&o.edit, "edit", "", "file with a JSON merge patch for each value (-: standard input)")
	f.BoolVar(&o.anyTopic, "any-topic", false, "let a dead letter go back to a topic that is none of the configuration's")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would go back, and send nothing")
	f.BoolVar(&o.yes, "yes", false, "don't ask")
	configFlags(cmd)
	return cmd
}

func reasonNames() []string {
	names := make([]string, len(decision.Reasons))
	for i, r := range decision.Reasons {
		names[i] = string(r)
	}
	return names
}

func (o *redriveOptions) validate() (bulkredrive.Filter, error) {
	filter := bulkredrive.Filter{BatchID: o.batchID, Since: o.since.time, Until: o.until.time, Profile: o.profile, Match: o.match}
	var faults []error
	for _, name := range o.reasons {
		reason := decision.Reason(strings.TrimSpace(name))
		if !slices.Contains(decision.Reasons[:], reason) {
			faults = append(faults, fmt.Errorf("--reason: must be of %s, is %q", strings.Join(reasonNames(), ", "), name))
		}
		filter.Reasons = append(filter.Reasons, reason)
	}
	if o.profile != "" && !decision.ValidID(o.profile) {
		faults = append(faults, fmt.Errorf("--profile: must be 8-4-4-4-12 hexadecimal, is %q", o.profile))
	}
	if o.limit < 0 {
		faults = append(faults, fmt.Errorf("--limit: must be 0 or more, is %d", o.limit))
	}
	if !(o.rate >= 0 && o.rate <= 1e9) {
		faults = append(faults, fmt.Errorf("--rate: must be 0 or more per second, is %v", o.rate))
	}
	if o.maxRedrives < 1 || o.maxRedrives > 1<<15 {
		faults = append(faults, fmt.Errorf("--max-redrives: must be 1 to %d, is %d", 1<<15, o.maxRedrives))
	}
	if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		faults = append(faults, fmt.Errorf("--since %s must be before --until %s", o.since.text, o.until.text))
	}
	return filter, errors.Join(faults...)
}

// readEdit reads a merge patch.
func readEdit(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	patch, err := io.ReadAll(io.LimitReader(in, decision.MaxRecordSize+1))
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	switch err := json.Unmarshal(patch, &object); {
	case len(patch) > decision.MaxRecordSize:
		return nil, fmt.Errorf("%s has more than %d bytes", name, decision.MaxRecordSize)
	case err != nil:
		return nil, fmt.Errorf("%s is no JSON object: %w", name, err)
	case len(object) == 0:
		return nil, fmt.Errorf("%s changes nothing", name)
	}
	return patch, nil
}

func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// redriveTargets are the topics whose records end as dead letters.
func redriveTargets(t configs.Topics) []string {
	return slices.DeleteFunc([]string{t.Decisions, t.Backfill, t.CheckResults}, func(name string) bool { return name == "" })
}

func redrive(ctx context.Context, s Process, cfg configs.Config, o redriveOptions, filter bulkredrive.Filter, edit []byte, ask bool) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	var mu sync.Mutex
	tell := retryTeller(newLogger(s, cfg.Log))
	// stopped is what an error means where the user asked for the end.
	stopped := func(err error) error {
		if ctx.Err() != nil {
			return errors.New("stopped before anything was sent back")
		}
		return err
	}
	var refused []bulkredrive.RefusedLetter
	var held func(context.Context) error
	if !o.dryRun {
		lock, err := bulkredrive.AcquireLock(ctx, connection, cfg.Kafka.GroupID, cfg.Kafka.Topics.DeadLetters, func(host string, most time.Duration) {
			fmt.Fprintf(s.Err, "another redrive is at work on %s, or was killed there; waiting for its end, %v at the most\n", decision.OneLine(host, 256), most)
		})
		if err != nil {
			return stopped(err)
		}
		defer lock.Close()
		held = lock.AwaitHeld
	}
	status := newStatusLine(s.Err)
	r, err := bulkredrive.New(ctx, bulkredrive.Options{
		Connection: connection, DeadLetters: cfg.Kafka.Topics.DeadLetters, Targets: redriveTargets(cfg.Kafka.Topics), AnyTopic: o.anyTopic,
		Group: cfg.Kafka.GroupID, Filter: filter, Limit: o.limit, Rate: o.rate, MaxRedrives: o.maxRedrives, Edit: edit, AwaitLock: held,
		Refused: func(l bulkredrive.RefusedLetter) {
			if len(refused) < maxRefusals {
				refused = append(refused, l)
			}
		},
		Progress: func(looked, redriven int64) {
			status.set(fmt.Sprintf("%s dead letters looked at, %s redriven", commas(looked), commas(redriven)))
		},
		Retrying: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			tell(err)
		},
	})
	if err != nil {
		return stopped(err)
	}
	survey, err := r.Scan(ctx)
	status.finish()
	if err != nil {
		return stopped(err)
	}
	refusals := writeRefused(s.Out, survey, refused)
	if o.dryRun || ask {
		writeSurvey(s.Out, survey)
	}
	if ask && survey.Chosen > 0 && !confirm(s.In, s.Err, fmt.Sprintf("Send %s back?", plural(int(survey.Chosen), "dead letter"))) {
		return errors.New("nothing was sent back")
	}
	if survey.Chosen+survey.Already+refusals == 0 && !filter.Any() {
		fmt.Fprintf(s.Err, "none of the %s is chosen by these filters\n", plural(int(survey.Read), "dead letter"))
	}
	var done bulkredrive.Summary
	if !o.dryRun && survey.Chosen > 0 {
		done, err = r.Run(ctx)
		status.finish()
	}
	if ctx.Err() != nil {
		err = errors.New("stopped; the same command goes on from there")
	}
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("Kafka refuses %s for good; the log says why", plural(int(done.Failed), "record"))
	}
	_, failed := fmt.Fprintf(s.Out, "chosen=%d redriven=%d failed=%d refused=%d already=%d\n", survey.Chosen, done.Redriven, done.Failed, refusals, survey.Already)
	return errors.Join(err, failed)
}

// maxRefusals is how many refused dead letters, and kinds of errors, are shown.
const maxRefusals = 20

// writeRefused lists what can't go back, the first of it, and says how many there
// are.
func writeRefused(out io.Writer, survey bulkredrive.Survey, refused []bulkredrive.RefusedLetter) (all int64) {
	for _, l := range refused {
		id := ""
		if l.DecisionID != "" {
			id = " (" + l.DecisionID + ")"
		}
		fmt.Fprintf(out, "refused %s %s%s: %s\n", l.Why, l.Letter, id, l.Detail)
	}
	for _, n := range survey.Refused {
		all += n
	}
	if more := all - int64(len(refused)); more > 0 {
		var kinds []string
		for _, why := range byCount(survey.Refused) {
			kinds = append(kinds, fmt.Sprintf("%s %s", why, commas(survey.Refused[why])))
		}
		fmt.Fprintf(out, "refused %s more; in all %s\n", commas(more), strings.Join(kinds, ", "))
	}
	return all
}

// writeSurvey writes what would go back, as a histogram.
func writeSurvey(out io.Writer, survey bulkredrive.Survey) {
	for _, topic := range slices.Sorted(maps.Keys(survey.ByTopic)) {
		fmt.Fprintf(out, "topic %s %d\n", topic, survey.ByTopic[topic])
	}
	for _, reason := range byCount(survey.ByReason) {
		fmt.Fprintf(out, "reason %s %d\n", reason, survey.ByReason[reason])
	}
	errs := byCount(survey.ByError)
	for _, text := range errs[:min(len(errs), maxRefusals)] {
		fmt.Fprintf(out, "error %d %s\n", survey.ByError[text], decision.OneLine(cmp.Or(survey.Examples[text], text), 200))
	}
	if more := len(errs) - maxRefusals; more > 0 {
		fmt.Fprintf(out, "and %s of other kinds\n", plural(more, "error"))
	}
}

// confirm asks; only y or yes is a yes.
func confirm(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(out)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
