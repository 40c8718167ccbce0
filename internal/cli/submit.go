package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/bulk/rows"
	bulksubmit "verdict/internal/bulk/submit"
	"verdict/internal/decision"
)

type submitOptions struct {
	batchID     string
	lane        string
	maps, sets  []string
	rate        float64
	journal     string
	rejects     string
	dryRun      bool
	skipInvalid bool
	lastWins    bool
	wait        bool
	report      string
	rows        rows.Options // of maps and sets
}

func submitCommand(s Process) *cobra.Command {
	var o submitOptions
	cmd := &cobra.Command{
		Use:   "submit FILE…",
		Short: "Bulk decisions from CSV or JSON Lines into the backfill topic",
		Long: `Submit reads decisions from files, checks all of them, and then sends them, with
the profile ID as key and the acknowledgement of all in-sync replicas.

A FILE is CSV, its header naming a decision's fields in any order (comma,
semicolon or tab), or JSON Lines; plain, gzip or zstd; - is standard input. One
invalid row means that nothing is sent. Rows that repeat one another are
reported, and sent; opposite states of one task are invalid.

A row without batch_id gets the batch's, one without id gets BATCH/ROW. The batch
is named by --batch-id or else by its content, so that the same content is not
sent twice by mistake: the journal, and Kafka itself, know what was sent. After
^C, a crash or kill -9 the same command goes on where the acknowledged part
ended; no row is sent twice.

On standard output: what was found about rows, then one line

  batch_id=B rows=N invalid=N superseded=N duplicates=N submitted=N earlier=N seconds=S rate=R

where submitted were sent by this call, and earlier by calls before it. With
--wait follow's lines come behind it (see verdict follow), and its exit status.`,
		Example: `  verdict submit --dry-run decisions.csv
  verdict submit march.csv.gz april.csv.gz --batch-id spring-review --rate 500
  verdict submit decisions.csv --wait --report outcomes.csv
  verdict submit export.csv --map customer=profile_id --map task=task_id --set state=COMPLETED_PASS
  zcat export.jsonl.gz | verdict submit - --skip-invalid --rejects rejects.csv`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := o.validate(files); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			if o.lane == decision.Backfill.String() && cfg.Kafka.Topics.Backfill == "" {
				return &usageError{cmd.CommandPath(), errors.New("--lane backfill: kafka.topics.backfill is empty, so there is no such lane; give --lane live")}
			}
			if f := cfg.Decode.Format; f != decision.FormatAuto && f != decision.FormatJSON {
				return &usageError{cmd.CommandPath(), fmt.Errorf("decode.format: is %s, and submit sends JSON, which the service would dead-letter; it takes both with auto", f)}
			}
			return submit(cmd.Context(), s, cfg, files, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "check everything, send nothing, and don't ask Kafka")
	f.StringVar(&o.batchID, "batch-id", "", "the batch's ID, and every row's batch_id (default: made from the content)")
	f.StringVar(&o.lane, "lane", decision.Backfill.String(), "live or backfill: whose topic the decisions go into")
	f.StringArrayVar(&o.maps, "map", nil, "COLUMN=FIELD: the column, or JSON member, holds this field of a decision (repeatable)")
	f.StringArrayVar(&o.sets, "set", nil, "FIELD=VALUE: every row has this value, or with no VALUE none (repeatable)")
	f.Float64Var(&o.rate, "rate", 0, "decisions per second (0: as fast as Kafka takes them)")
	f.BoolVar(&o.skipInvalid, "skip-invalid", false, "send the valid rows although others are invalid")
	f.BoolVar(&o.lastWins, "last-wins", false, "of rows with opposite states of one task, send the last alone")
	f.StringVar(&o.rejects, "rejects", "", "CSV file to write all invalid rows to, with their faults")
	f.BoolVar(&o.wait, "wait", false, "then wait until every decision is settled, as verdict follow does")
	f.StringVar(&o.report, "report", "", "with --wait: CSV file to write a row for each decision to, at the end")
	f.StringVar(&o.journal, "journal", "", "file in which to keep where the batch stands (default: FILE"+journalSuffix+", or of standard input "+journalOfStdin+" in the working folder)")
	configFlags(cmd)
	return cmd
}

const (
	journalSuffix  = ".verdict-journal"
	journalOfStdin = "BATCH" + journalSuffix
)

func (o *submitOptions) validate(files []string) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(files) == 0 {
		fault("wants a file; - is standard input")
	}
	if i := slices.Index(files, rows.Stdin); i >= 0 && slices.Contains(files[i+1:], rows.Stdin) {
		fault("- is given twice")
	}
	if o.batchID != "" {
		if err := rows.ValidBatchID(o.batchID); err != nil {
			fault("--batch-id: %w", err)
		}
	}
	if o.lane != decision.Live.String() && o.lane != decision.Backfill.String() {
		fault("--lane: must be live or backfill, is %q", o.lane)
	}
	if !(o.rate >= 0 && o.rate <= 1e9) {
		fault("--rate: must be 0 or more decisions per second, is %v", o.rate)
	}
	read := func(flag string, pairs []string, form string) map[string]string {
		m := make(map[string]string)
		for _, pair := range pairs {
			// A column's name may have a = of its own, a field's has none.
			cut := strings.Index
			if flag == "map" {
				cut = strings.LastIndex
			}
			i := cut(pair, "=")
			if i <= 0 {
				fault("--%s: must be %s, is %q", flag, form, pair)
				continue
			}
			if _, twice := m[pair[:i]]; twice {
				fault("--%s: %q is given twice", flag, pair[:i])
			}
			m[pair[:i]] = pair[i+1:]
		}
		return m
	}
	o.rows.Map, o.rows.Set = read("map", o.maps, "COLUMN=FIELD"), read("set", o.sets, "FIELD=VALUE")
	if err := o.rows.Validate(); err != nil {
		faults = append(faults, err)
	}
	if o.wait && o.dryRun {
		fault("--wait: a dry run sends nothing to wait for")
	}
	if o.report != "" && !o.wait {
		fault("--report: goes with --wait; verdict follow BATCH --report makes one later")
	}
	if id := o.rows.Set["batch_id"]; id != "" && o.batchID != "" && id != o.batchID {
		fault("--batch-id %s and --set batch_id=%s contradict each other", o.batchID, id)
	}
	return errors.Join(faults...)
}

// maxFindings is how many findings of a kind are shown.
const maxFindings = 20

func submit(ctx context.Context, s Process, cfg configs.Config, files []string, o submitOptions) error {
	began := time.Now()
	log := newLogger(s, cfg.Log)
	in, err := rows.Open(ctx, files, s.In, "")
	if err != nil {
		return stoppedFirst(ctx, err)
	}
	defer in.Close()
	bar := newProgress(s.Err, "rows checked", -1)
	batch, err := rows.Check(ctx, in, rows.CheckOptions{
		Rows: o.rows, BatchID: o.batchID, LastWins: o.lastWins, SkipInvalid: o.skipInvalid, MaxFindings: maxFindings, Checked: bar.set,
	})
	bar.finish()
	if err != nil {
		return stoppedFirst(ctx, err)
	}
	defer batch.Close()
	for _, w := range submitWarnings(batch) {
		fmt.Fprintln(s.Err, "warning:", w)
	}
	writeFindings(s.Out, batch, len(files) > 1, o.rejects)
	if o.rejects != "" {
		if err := batch.WriteRejects(ctx, o.rejects); err != nil {
			return stoppedFirst(ctx, err)
		}
	}
	var done bulksubmit.Summary
	switch {
	case batch.Invalid > 0 && !o.skipInvalid:
		hint := "or send the rest with --skip-invalid"
		if batch.Invalid == batch.Rows {
			hint = "or say what columns and values stand for with --map and --set"
		}
		err = fmt.Errorf("%s of %s invalid, so nothing is sent; correct what is invalid, %s", commas(batch.Invalid), are(batch.Rows, "row"), hint)
	case !o.dryRun && batch.Size() > 0:
		done, err = sendBatch(ctx, s, cfg, batch, o, cmp.Or(o.journal, journalPath(files, batch.ID)), log)
	}
	seconds := time.Since(began).Seconds()
	id := batch.ID
	sent, already := errors.AsType[*bulksubmit.AlreadySentError](err)
	if already {
		id = sent.BatchID
	}
	fmt.Fprintf(s.Out, "batch_id=%s rows=%d invalid=%d superseded=%d duplicates=%d submitted=%d earlier=%d seconds=%.2f rate=%.1f\n",
		id, batch.Rows, batch.Invalid, batch.Superseded, batch.Duplicates, done.Sent, done.Earlier, seconds, float64(done.Sent)/max(seconds, 0.001))
	if already && o.wait {
		fmt.Fprintln(s.Err, "warning:", sent)
		err = nil
	}
	if err != nil || !o.wait || batch.Size() == 0 {
		return err
	}
	wait := followOptions{report: o.report}
	if !done.Began.IsZero() {
		wait.since.time = done.Began.Add(-clockSkew)
	}
	topics, err := laneTopics(cfg.Kafka.Topics, o.lane)
	if err != nil {
		return err
	}
	return follow(ctx, s, cfg, id, topics, wait)
}

// clockSkew is by how much the clocks of machines that write to Kafka may differ:
// results older than the batch, by less, are looked at too.
const clockSkew = time.Hour

// stoppedFirst is err, or that there was a stop before the first decision.
func stoppedFirst(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("stopped before anything was sent")
	}
	return err
}

// journalPath is where the journal is unless it is said. That of standard input is
// named by the batch, whose ID may have what a file's name may not.
func journalPath(files []string, batchID string) string {
	for _, f := range files {
		if f != rows.Stdin {
			return f + journalSuffix
		}
	}
	name := strings.Map(func(r rune) rune {
		if r == filepath.Separator || r == '/' || r == ':' {
			return '_'
		}
		return r
	}, batchID)
	return name + journalSuffix
}

// sendBatch sends a batch and shows how far it is.
func sendBatch(ctx context.Context, s Process, cfg configs.Config, batch *rows.Batch, o submitOptions, journal string, log *slog.Logger) (bulksubmit.Summary, error) {
	connection, err := app.Connect(cfg.Kafka, nil)
	if err != nil {
		return bulksubmit.Summary{}, err
	}
	defer connection.Close()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	topic := cfg.Kafka.Topics.Backfill
	if o.lane == decision.Live.String() {
		topic = cfg.Kafka.Topics.Decisions
	}
	var acknowledged atomic.Int64
	bar := newProgress(s.Err, "acknowledged", batch.Size())
	ended := make(chan struct{})
	var showing sync.WaitGroup
	done, err := bulksubmit.Submit(ctx, batch, bulksubmit.Options{
		Connection: connection, Topic: topic, Group: cfg.Kafka.GroupID, Journal: journal, Host: host, Rate: o.rate,
		Acknowledged: &acknowledged, Log: log,
		OnStart: func(before int64) {
			bar.from(before)
			showing.Go(func() { showProgress(bar, &acknowledged, ended) })
		},
	})
	close(ended)
	showing.Wait()
	bar.finish()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped with %s of %s acknowledged; the same command goes on from there",
			commas(acknowledged.Load()), commas(batch.Size())+" decisions")
	}
	return done, err
}

// showProgress shows a number as it grows.
func showProgress(bar *progress, n *atomic.Int64, ended <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			bar.set(n.Load())
		case <-ended:
			return
		}
	}
}

func submitWarnings(b *rows.Batch) []string {
	all := b.Warnings
	if b.Rows == 0 {
		all = append(all, "there are no rows")
	}
	if b.Expired > 0 {
		all = append(all, fmt.Sprintf("%s past expires_at already, and will be dead-lettered as expired", are(b.Expired, "decision")))
	}
	return all
}

// writeFindings writes what was found about rows as a table, the first of each kind.
func writeFindings(out io.Writer, b *rows.Batch, withFile bool, rejects string) {
	if len(b.Findings) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(file, line, kind, text string) {
		if withFile {
			fmt.Fprintf(w, "%s\t", file)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", line, kind, text)
	}
	row("FILE", "LINE", "KIND", "WHAT")
	shown := make(map[rows.Kind]int64)
	for _, f := range b.Findings {
		shown[f.Kind]++
		row(decision.OneLine(f.File, 256), strconv.Itoa(f.Line), string(f.Kind), f.Text)
	}
	_ = w.Flush() // nobody is left to be told
	for _, more := range []struct {
		kind rows.Kind
		n    int64
	}{{rows.Invalid, b.Invalid}, {rows.Superseded, b.Superseded}, {rows.Duplicate, b.Duplicates}} {
		if n := more.n - shown[more.kind]; n > 0 {
			hint := ""
			if more.kind == rows.Invalid && rejects == "" {
				hint = " (--rejects FILE has them all)"
			}
			fmt.Fprintf(out, "and %s more %s%s\n", commas(n), more.kind, hint)
		}
	}
}

// are is a count of things that are.
func are(n int64, word string) string {
	if n == 1 {
		return "1 " + word + " is"
	}
	return commas(n) + " " + word + "s are"
}
