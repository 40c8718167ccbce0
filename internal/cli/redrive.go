package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// redriveOptions are the flags of redrive.
type redriveOptions struct {
	filter      letterFilter
	author      authorFlags
	rate        float64 // dead letters per second; 0: unlimited
	maxRedrives int
	edit        string // empty: none
	overwrite   bool
	anyTopic    bool
	dryRun, yes bool
}

// noFilter is why a command that would handle every dead letter wants to be sure.
var noFilter = "give a filter (--reason, --batch-id, --since, --until, --profile, --match), preview with --dry-run, or confirm with --yes"

// redriveCommand is long because it lists the command's text and its flags.
func redriveCommand(s Process) *cobra.Command {
	var o redriveOptions
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Send dead letters back to their original topics",
		Long: `Redrive sends dead letters back to the topics and partitions that they came from,
with their original key, value and headers, and verdict-redrives increased by one.
Each goes back only once, whatever the filters and however often redrive runs, on
however many machines, or is killed: the ledger (kafka.topics.control) has what
went back. Of two redrives at once the later one takes over.

Redrive chooses the dead letters that match all filters. Without a filter, it asks
for confirmation on a terminal, and needs --yes elsewhere. It lists the dead
letters that cannot go back: those redriven --max-redrives times, those whose
value was too large to keep, and those from topics that are not configured.
Dismissed ones (verdict dismiss) stay where they are.

A redriven decision looks at its task before completing it. Where the task stands
at the opposite state, it ends as processor.on_conflict says, unless it was sent
with --overwrite.

--edit applies a JSON merge patch (RFC 7386) to each value, to correct a field:
{"state": "COMPLETED_FAIL", "reason": null}
Each value must be a valid decision afterwards. The copy and its result say who
changed it.

With --dry-run, standard output first counts the chosen dead letters by topic,
reason and error (errors that differ only in numbers and IDs count as one). Its
last line is always:

  chosen=N redriven=N failed=N refused=N already=N dismissed=N`,
		Example: `  # Show what would go back
  verdict redrive --dry-run

  verdict redrive --reason retries_exhausted --since 2d --rate 20

  verdict redrive --batch-id spring-review --edit corrected.json --why "wrong state in the export"

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
			terminal := o.edit != "-" && term.IsTerminal(s.In)
			if filter.Any() && !o.yes && !o.dryRun && !terminal {
				return &usageError{cmd.CommandPath(), errors.New("without a filter, every dead letter would go back; " + noFilter)}
			}
			o.author.needsWhy = (edit != nil || o.overwrite) && !o.dryRun
			author, err := o.author.author(cmd, s)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			r := letterRun{
				process: s, cfg: cfg, author: author, dryRun: o.dryRun, ask: terminal && filter.Any() && !o.yes,
				options: bulkredrive.Options{
					Action: bulkredrive.SendBack, Filter: filter, Limit: o.filter.limit, Rate: o.rate, MaxRedrives: o.maxRedrives,
					Edit: edit, Overwrite: o.overwrite, AnyTopic: o.anyTopic,
				},
			}
			return r.run(cmd.Context())
		},
	}
	o.filter.register(cmd, "maximum `number` of dead letters to send back (0: no limit)")
	f := cmd.Flags()
	f.Float64Var(&o.rate, "rate", 0, "dead `letters` per second (0: unlimited)")
	f.IntVar(&o.maxRedrives, "max-redrives", bulkredrive.DefaultMaxRedrives, "do not send back dead letters that were redriven this `number` of times; list them")
	f.StringVar(&o.edit, "edit", "", "apply the JSON merge patch in this `FILE` to each value (-: standard input); needs --why")
	f.BoolVar(&o.overwrite, "overwrite", false, "complete tasks that stand at the opposite state; needs --why")
	f.BoolVar(&o.anyTopic, "any-topic", false, "also send back to topics that are not configured, except those that Verdict writes")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would go back, and send nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	for _, flag := range []string{"rate", "max-redrives"} {
		completeValues(cmd, flag, nil)
	}
	o.author.register(cmd, false)
	configFlags(cmd)
	return cmd
}

// validate returns the filter, or every fault of the flags.
func (o *redriveOptions) validate() (bulkredrive.Filter, error) {
	filter, faults := o.filter.filter()
	if !(o.rate >= 0 && o.rate <= 1e9) {
		faults = append(faults, fmt.Errorf("--rate: must be 0 or more per second, is %v", o.rate))
	}
	// The largest number that a header can say must be within reach.
	if o.maxRedrives < 1 || o.maxRedrives > 1<<16 {
		faults = append(faults, fmt.Errorf("--max-redrives: must be 1 to %d, is %d", 1<<16, o.maxRedrives))
	}
	return filter, errors.Join(faults...)
}

// readEdit reads a merge patch from a file, or from standard input for "-".
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
		return nil, fmt.Errorf("%s is not a JSON object: %w", name, err)
	case len(object) == 0:
		return nil, fmt.Errorf("%s is an empty JSON object, so it would change nothing", name)
	}
	return patch, nil
}
