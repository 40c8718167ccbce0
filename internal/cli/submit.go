package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// submitOptions are the flags of submit.
type submitOptions struct {
	batchID     string // empty: made from the content
	lane        string
	maps, sets  []string
	values      []string
	encoding    string
	override    bool
	rate        float64 // decisions per second; 0: unlimited
	author      authorFlags
	journal     string // no longer used
	rejects     string
	dryRun      bool
	skipInvalid bool
	lastWins    bool
	wait        bool
	report      string
	rows        rows.Options // made from maps and sets
	again       bool         // send what was sent before
	stopAt      shareFlag
}

// submitCommand is long because it lists the command's text and its flags.
func submitCommand(s Process) *cobra.Command {
	var o submitOptions
	cmd := &cobra.Command{
		Use:   "submit FILE…",
		Short: "Submit decisions from files as a batch",
		Long: `Submit reads decisions from files, checks every row, and then sends them to the
backfill topic.

A FILE is CSV, an Excel workbook (.xlsx), JSON Lines or a JSON array, plain or
compressed with gzip, zstd or zip; - is standard input. The header of a table names
the fields of a decision (profile_id, task_id, state …) in any order and any usual
spelling, also below a title. Separators, encodings and line ends are detected. What
is not certain is never guessed: the message says which of --map, --values, --set,
--sheet or --encoding decides it.

If one row is invalid, nothing is sent. Rows with opposite states for one task are
invalid. Repeated rows are reported, and sent. A file of which nothing would be sent
is an error, unless it is empty.

A row without batch_id gets the batch's ID; a row without id gets BATCH/ROW.
Without --batch-id, the ID is made from the content. The ledger in Kafka
(kafka.topics.control) remembers what was sent, so that the same content is not
sent twice by mistake. After Ctrl-C, a crash or kill -9, run the same command
again, on this machine or another: it continues where the last one stopped, and
sends no row twice. If the last one still runs, it is stopped.

Standard output has the findings about rows, then this line:

  batch_id=B rows=N invalid=N superseded=N duplicates=N submitted=N earlier=N seconds=S rate=R

This run sent the decisions in "submitted"; previous runs sent those in "earlier".
With --wait, the output and the exit status of "verdict follow" come after it.`,
		Example: `  # Check a file without sending it
  verdict submit --dry-run decisions.csv

  verdict submit march.csv.gz april.csv.gz --batch-id spring-review --rate 500 --why "the spring review"

  # Wait until every decision is settled, and write a report
  verdict submit decisions.csv --wait --report outcomes.csv

  # Columns and words of its own
  verdict submit review.xlsx --sheet March --map "Customer ref=profile_id" --values 'Pass=COMPLETED_PASS,Fail=COMPLETED_FAIL'

  # A file without a column for the state
  verdict submit passed.csv --map customer=profile_id --map task=task_id --set state=COMPLETED_PASS

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
				return &usageError{cmd.CommandPath(), errors.New("--lane backfill: kafka.topics.backfill is empty, so there is no such lane; use --lane live")}
			}
			if f := cfg.Decode.Format; f != decision.FormatAuto && f != decision.FormatJSON {
				return &usageError{cmd.CommandPath(), fmt.Errorf("decode.format: is %s, but submit sends JSON, which the service would dead-letter; set it to auto", f)}
			}
			author, err := o.author.author(cmd, s)
			if err != nil {
				return err
			}
			return submit(cmd.Context(), s, cfg, files, o, author)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "check everything, but send nothing and do not connect to Kafka")
	f.StringVar(&o.batchID, "batch-id", "", "`ID` of the batch, and batch_id of every row (default: made from the content)")
	f.StringVar(&o.lane, "lane", decision.Backfill.String(), "`lane` to send to: live or backfill")
	f.StringArrayVar(&o.maps, "map", nil, "read a field from the column (or JSON member) of this name, as `COLUMN=FIELD`; without FIELD, leave it out (repeatable)")
	f.StringArrayVar(&o.sets, "set", nil, "set a field of every row, as `FIELD=VALUE`; without VALUE, remove it (repeatable)")
	f.StringArrayVar(&o.values, "values", nil, "what the words in the column of the state mean, as `WORD=STATE,…` (repeatable)")
	f.BoolVar(&o.override, "override", false, "let --set replace values that rows have")
	f.StringVar(&o.rows.Sheet, "sheet", "", "`name` of the sheet of a workbook (default: the first)")
	f.StringVar(&o.encoding, "encoding", "", "`encoding` of text without a byte order mark: utf-8, utf-16le, utf-16be or windows-1252 (default: utf-8)")
	f.Var(&o.stopAt, "stop-at", "hold the batch by itself when more than this `share` of its first hundred decisions, and then of all, is dead-lettered: 5% or 0.05 (default: bulk.stop_at)")
	f.BoolVar(&o.again, "again", false, "send rows even if another batch has sent the same tasks and states before")
	f.Float64Var(&o.rate, "rate", 0, "`decisions` per second (0: unlimited)")
	f.BoolVar(&o.skipInvalid, "skip-invalid", false, "send the valid rows even if others are invalid")
	f.BoolVar(&o.lastWins, "last-wins", false, "of rows with opposite states for one task, send only the last")
	f.StringVar(&o.rejects, "rejects", "", "write invalid rows with their faults to this CSV `FILE`")
	f.BoolVar(&o.wait, "wait", false, "after sending, follow the batch until every decision is settled")
	f.StringVar(&o.report, "report", "", "with --wait: write one row per decision to this CSV `FILE` at the end")
	f.StringVar(&o.journal, "journal", "", "")
	_ = f.MarkHidden("journal") // the flag exists
	o.author.register(cmd, false)
	completeValues(cmd, "lane", laneNames)
	completeValues(cmd, "encoding", encodingNames())
	for _, flag := range []string{"batch-id", "map", "set", "values", "sheet", "rate", "stop-at"} {
		completeValues(cmd, flag, nil)
	}
	configFlags(cmd)
	return cmd
}

// validate returns every fault of the command line, and fills in o.rows.
func (o *submitOptions) validate(files []string) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(files) == 0 {
		fault("give at least one file; - is standard input")
	}
	if i := slices.Index(files, rows.Stdin); i >= 0 && slices.Contains(files[i+1:], rows.Stdin) {
		fault("- is given twice")
	}
	if o.batchID != "" {
		if err := rows.ValidBatchID(o.batchID); err != nil {
			fault("--batch-id: %w", err)
		}
	}
	if o.journal != "" {
		fault("--journal: there are no journals any more; the ledger in Kafka (kafka.topics.control) remembers what was sent, on every machine, so leave the flag out")
	}
	if !slices.Contains(laneNames, o.lane) {
		fault("--lane: must be live or backfill, is %q", o.lane)
	}
	if !(o.rate >= 0 && o.rate <= 1e9) {
		fault("--rate: must be 0 or more decisions per second, is %v", o.rate)
	}
	// The name of a column may contain a =, that of a field does not.
	o.rows.Map = parsePairs("map", "COLUMN=FIELD", o.maps, strings.LastIndex, fault)
	o.rows.Set = parsePairs("set", "FIELD=VALUE", o.sets, strings.Index, fault)
	o.rows.Values = make(map[string]string)
	for _, pairs := range o.values {
		if err := rows.ParseValues(o.rows.Values, pairs); err != nil {
			fault("--values: %w", err)
		}
	}
	o.rows.Encoding = rows.Encoding(strings.ToLower(o.encoding))
	if err := o.rows.Validate(); err != nil {
		faults = append(faults, err)
	}
	if o.wait && o.dryRun {
		fault("--wait: a dry run sends nothing to wait for")
	}
	if o.report != "" && !o.wait {
		fault("--report: needs --wait; to write a report later, use verdict follow BATCH --report")
	}
	if id := o.rows.Set["batch_id"]; id != "" && o.batchID != "" && id != o.batchID {
		fault("--batch-id %s and --set batch_id=%s contradict each other", o.batchID, id)
	}
	return errors.Join(faults...)
}

func encodingNames() []string {
	names := make([]string, len(rows.Encodings))
	for i, e := range rows.Encodings {
		names[i] = string(e)
	}
	return names
}

// parsePairs splits the values of a repeatable flag at the = that cut finds.
func parsePairs(flag, form string, pairs []string, cut func(s, sep string) int, fault func(format string, args ...any)) map[string]string {
	m := make(map[string]string)
	for _, pair := range pairs {
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
