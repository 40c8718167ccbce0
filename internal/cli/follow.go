package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"verdict/configs"
	"verdict/internal/app"
	bulkfollow "verdict/internal/bulk/follow"
	"verdict/internal/decision"
)

type followOptions struct {
	report  string
	lane    string
	since   pastTime
	once    bool
	timeout time.Duration
}

func followCommand(s Process) *cobra.Command {
	var o followOptions
	cmd := &cobra.Command{
		Use:   "follow BATCH",
		Short: "Watch a batch until its last decision is settled; report and reconcile",
		Long: `Follow finds the decisions of a batch in the topics of decisions, and what became
of them in those of results and dead letters, and goes on until each of them is
settled. It reads Kafka alone, leaves nothing behind there, and can be started at
any time and on any machine, also long after the batch was submitted. Decisions
that were not sent by verdict submit are found by the batch_id in their values.

A decision counts once, by its latest fate: one that was dead-lettered and then
redriven counts by what became of it since.

On standard output: what is missing, if anything, the dead letters by reason, and
the line

  submitted=N completed=N already_complete=N skipped=N duplicates=N dead_lettered=N missing=N

in which the others add up to submitted. The exit status is 1 if a decision was
dead-lettered or is missing.`,
		Example: `  verdict follow spring-review
  verdict follow spring-review --report spring-review.csv
  verdict follow spring-review --once --since 7d`,
		Args: oneArg("the ID of a batch"),
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
	f.StringVar(&o.report, "report", "", "CSV file to write a row for each decision to, at the end")
	f.StringVar(&o.lane, "lane", "all", "live, backfill or all: the topics in which the batch's decisions are looked for")
	f.Var(&o.since, "since", "look at no older records: a time, or how long ago (36h, 7d) (default: all that the topics hold)")
	f.BoolVar(&o.once, "once", false, "say how the batch stands now, and wait for nothing")
	f.DurationVar(&o.timeout, "timeout", 0, "wait no longer than this (0: until all are settled)")
	configFlags(cmd)
	return cmd
}

// oneArg wants one positional argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return &usageError{cmd.CommandPath(), fmt.Errorf("wants %s, got %d arguments", what, len(args))}
		}
		return nil
	}
}

// laneTopics are the topics of a lane, or of all.
func laneTopics(t configs.Topics, lane string) ([]string, error) {
	switch lane {
	case decision.Live.String():
		return []string{t.Decisions}, nil
	case decision.Backfill.String():
		if t.Backfill == "" {
			return nil, errors.New("--lane backfill: kafka.topics.backfill is empty, so there is no such lane")
		}
		return []string{t.Backfill}, nil
	case "all":
		return slices.DeleteFunc([]string{t.Decisions, t.Backfill}, func(name string) bool { return name == "" }), nil
	}
	return nil, fmt.Errorf("--lane: must be live, backfill or all, is %q", lane)
}

func follow(ctx context.Context, s Process, cfg configs.Config, batchID string, topics []string, o followOptions) error {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	report, err := newReportFile(o.report)
	if err != nil {
		return err
	}
	defer report.discard()
	status := newStatusLine(s.Err)
	options := bulkfollow.Options{
		Connection: connection, BatchID: batchID, Decisions: topics, Since: o.since.time, Once: o.once, Timeout: o.timeout,
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		Progress: func(sum bulkfollow.Summary) { status.set(followStatus(sum)) },
		Retrying: retryTeller(newLogger(s, cfg.Log)),
	}
	if report != nil {
		options.Report = report.buffer
	}
	sum, err := bulkfollow.Follow(ctx, options)
	status.finish()
	switch {
	case err != nil && ctx.Err() == nil, err != nil && sum.Submitted == 0:
		return err
	case err != nil:
		// What is known is worth saying; the report is not made.
		_ = writeFollowed(s.Out, sum, false)
		return errors.New("stopped; the same command looks again")
	}
	if err := report.keep(); err != nil {
		return err
	}
	return writeFollowed(s.Out, sum, report != nil)
}

// followStatus is how a batch stands, in one line.
func followStatus(sum bulkfollow.Summary) string {
	if sum.Submitted == 0 {
		return fmt.Sprintf("%s records read", commas(sum.Read))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s settled, %s completed", commas(sum.Settled), commas(max(sum.Size, sum.Submitted)), commas(sum.Outcomes[decision.Completed]))
	for _, outcome := range []decision.Outcome{decision.AlreadyComplete, decision.Skipped, decision.Duplicate} {
		if n := sum.Outcomes[outcome]; n > 0 {
			fmt.Fprintf(&b, ", %s %s", commas(n), outcome)
		}
	}
	if sum.DeadLettered > 0 {
		var reasons []string
		for _, r := range sortedReasons(sum) {
			reasons = append(reasons, fmt.Sprintf("%s %s", r, commas(sum.Reasons[r])))
		}
		fmt.Fprintf(&b, ", %s dead-lettered (%s)", commas(sum.DeadLettered), strings.Join(reasons, ", "))
	}
	if sum.Rate > 0 {
		fmt.Fprintf(&b, ", %.1f/s, %v left", sum.Rate, sum.Left.Round(time.Second))
	}
	return b.String()
}

// sortedReasons are the reasons of a batch's dead letters, the most frequent first.
func sortedReasons(sum bulkfollow.Summary) []decision.Reason {
	return byCount(sum.Reasons)
}

// writeFollowed writes how a batch ended, and is an error unless all is well.
func writeFollowed(out io.Writer, sum bulkfollow.Summary, reported bool) error {
	for _, d := range sum.Open {
		fmt.Fprintf(out, "missing %s at %s\n", decision.OneLine(d.ID, decision.MaxTextSize), d.Origin)
	}
	if more := sum.Missing - sum.NotFound - int64(len(sum.Open)); more > 0 {
		hint := " (--report FILE has them all)"
		if reported {
			hint = ", which the report has"
		}
		and := " more"
		if len(sum.Open) == 0 {
			and = ""
		}
		fmt.Fprintf(out, "missing %s%s%s\n", commas(more), and, hint)
	}
	if sum.NotFound > 0 {
		fmt.Fprintf(out, "missing %s of the batch's %s that were not found: not submitted yet, or deleted by the topic's retention\n", commas(sum.NotFound), commas(sum.Size))
	}
	for _, r := range sortedReasons(sum) {
		fmt.Fprintf(out, "dead_lettered %s %d\n", r, sum.Reasons[r])
	}
	_, err := fmt.Fprintln(out, sum.Reconciliation())
	var wrong []string
	if sum.DeadLettered > 0 {
		wrong = append(wrong, commas(sum.DeadLettered)+" dead-lettered")
	}
	if sum.Missing > 0 {
		wrong = append(wrong, commas(sum.Missing)+" missing")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s of %s", strings.Join(wrong, " and "), plural(int(max(sum.Size, sum.Submitted)), "decision"))
	}
	return err
}

// reportFile is a file that is there under its name only when it is whole.
type reportFile struct {
	name   string
	file   *os.File
	buffer *bufio.Writer
}

// newReportFile begins a report; nil where none is wanted.
func newReportFile(name string) (*reportFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, fmt.Errorf("write --report: %w", err)
	}
	return &reportFile{name: name, file: f, buffer: bufio.NewWriterSize(f, 1<<16)}, nil
}

// keep gives the report its name.
func (r *reportFile) keep() error {
	if r == nil {
		return nil
	}
	err := errors.Join(r.buffer.Flush(), r.file.Close())
	if err == nil {
		err = os.Rename(r.file.Name(), r.name)
	}
	if err != nil {
		return fmt.Errorf("write --report: %w", err)
	}
	r.file = nil
	return nil
}

// discard takes a report away that was not kept.
func (r *reportFile) discard() {
	if r != nil && r.file != nil {
		r.file.Close()
		_ = os.Remove(r.file.Name()) // it is only in the way
	}
}

// statusLine shows how long work stands: one line that changes on a terminal,
// elsewhere a line now and then.
type statusLine struct {
	out      io.Writer
	terminal bool
	said     time.Time
	last     string
}

func newStatusLine(out io.Writer) *statusLine {
	f, ok := out.(*os.File)
	return &statusLine{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), said: time.Now()}
}

func (l *statusLine) set(text string) {
	switch {
	case text == l.last:
	case l.terminal:
		fmt.Fprintf(l.out, "\r\033[K%s", text)
		l.last = text
	case time.Since(l.said) >= progressEvery:
		fmt.Fprintln(l.out, text)
		l.last, l.said = text, time.Now()
	}
}

func (l *statusLine) finish() {
	if l.terminal {
		fmt.Fprint(l.out, "\r\033[K")
	}
}
