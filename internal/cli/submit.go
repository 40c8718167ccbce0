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
}

// submitCommand is long because it lists the command's text and its flags.
func submitCommand(s Process) *cobra.Command {
	var o submitOptions
	cmd := &cobra.Command{
		Use:   "submit FILE…",
		Short: "Submit decisions from files as a batch",
		Long: `Submit reads decisions from files, checks every row, and then sends them to the
backfill topic.

A FILE is CSV or JSON Lines, plain or compressed with gzip or zstd; - is standard
input. The header of a CSV file names the fields of a decision in any order, with
a comma, semicolon or tab between them. If one row is invalid, nothing is sent.
Rows with opposite states for one task are invalid. Repeated rows are reported,
and sent.

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

  # Columns with other names
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
	f.StringArrayVar(&o.maps, "map", nil, "read a field from the column (or JSON member) of this name, as `COLUMN=FIELD` (repeatable)")
	f.StringArrayVar(&o.sets, "set", nil, "set a field of every row, as `FIELD=VALUE`; without VALUE, remove it (repeatable)")
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
	for _, flag := range []string{"batch-id", "map", "set", "rate"} {
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
