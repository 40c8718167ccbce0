package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/term"
)

// redriveOptions are the flags of redrive.
type redriveOptions struct {
	reasons      []string
	batchID      string
	since, until timeFlag
	profile      string
	match        string
	limit        int64   // 0: none
	rate         float64 // dead letters per second; 0: unlimited
	maxRedrives  int
	edit         string // empty: none
	anyTopic     bool
	dryRun, yes  bool
}

func redriveCommand(s Process) *cobra.Command {
	var o redriveOptions
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Send dead letters back to their original topics",
		Long: `Redrive sends dead letters back to the topics that they came from, with their
original key, value and headers, and verdict-redrives increased by one. Each goes
back only once, even if redrive runs again with other filters or is killed: what
went back is committed for the consumer group <kafka.group_id>-redrive, and can
also be found in the topics themselves.

Redrive chooses the dead letters that match all filters. Without a filter, it asks
for confirmation on a terminal, and needs --yes elsewhere. It lists the dead
letters that cannot go back: those redriven --max-redrives times, those whose
value was too large to keep, and those from topics that are not configured.

--edit applies a JSON merge patch (RFC 7386) to each value, to correct a field:
{"state": "COMPLETED_FAIL", "reason": null}

With --dry-run, standard output first counts the chosen dead letters by topic,
reason and error (errors that differ only in numbers and IDs count as one). Its
last line is always:

  chosen=N redriven=N failed=N refused=N already=N`,
		Example: `  # Show what would go back
  verdict redrive --dry-run

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
			terminal := o.edit != "-" && term.IsTerminal(s.In)
			if filter.Any() && !o.yes && !o.dryRun && !terminal {
				return &usageError{cmd.CommandPath(), errors.New("without a filter, every dead letter would go back; give a filter (--reason, --batch-id, --since, --until, --profile, --match), preview with --dry-run, or confirm with --yes")}
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			r := redriveRun{process: s, cfg: cfg, options: o, filter: filter, edit: edit, ask: terminal && filter.Any() && !o.yes}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.reasons, "reason", nil, "only these `reasons`, separated by commas: "+strings.Join(reasonNames(), ", "))
	f.StringVar(&o.batchID, "batch-id", "", "only dead letters of the batch with this `ID`")
	f.Var(&o.since, "since", "only those dead-lettered at this time or later: a time, or an age such as 36h or 7d")
	f.Var(&o.until, "until", "only those dead-lettered before this time: a time, or an age")
	f.StringVar(&o.profile, "profile", "", "only dead letters of the profile with this `ID`")
	f.StringVar(&o.match, "match", "", "only those with this `text` in the error or the value, ignoring case")
	f.Int64Var(&o.limit, "limit", 0, "maximum `number` of dead letters to send back (0: no limit)")
	f.Float64Var(&o.rate, "rate", 0, "dead `letters` per second (0: unlimited)")
	f.IntVar(&o.maxRedrives, "max-redrives", bulkredrive.DefaultMaxRedrives, "do not send back dead letters that were redriven this `number` of times; list them")
	f.StringVar(&o.edit, "edit", "", "apply the JSON merge patch in this `FILE` to each value (-: standard input)")
	f.BoolVar(&o.anyTopic, "any-topic", false, "also send back to topics that are not configured")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would go back, and send nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	completeList(cmd, "reason", reasonNames())
	for _, flag := range []string{"batch-id", "since", "until", "profile", "match", "limit", "rate", "max-redrives"} {
		completeValues(cmd, flag, nil)
	}
	configFlags(cmd)
	return cmd
}

// reasonNames returns the values of --reason.
func reasonNames() []string {
	names := make([]string, len(decision.Reasons))
	for i, r := range decision.Reasons {
		names[i] = string(r)
	}
	return names
}

// validate returns the filter, or every fault of the flags.
func (o *redriveOptions) validate() (bulkredrive.Filter, error) {
	filter := bulkredrive.Filter{BatchID: o.batchID, Since: o.since.time, Until: o.until.time, Profile: o.profile, Match: o.match}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, name := range o.reasons {
		reason := decision.Reason(strings.TrimSpace(name))
		if !slices.Contains(decision.Reasons[:], reason) {
			fault("--reason: must be one of %s, is %q", strings.Join(reasonNames(), ", "), name)
		}
		filter.Reasons = append(filter.Reasons, reason)
	}
	if o.profile != "" && !decision.ValidID(o.profile) {
		fault("--profile: must be 8-4-4-4-12 hexadecimal digits, is %q", o.profile)
	}
	if o.limit < 0 {
		fault("--limit: must be 0 or more, is %d", o.limit)
	}
	if !(o.rate >= 0 && o.rate <= 1e9) {
		fault("--rate: must be 0 or more per second, is %v", o.rate)
	}
	if o.maxRedrives < 1 || o.maxRedrives > 1<<15 {
		fault("--max-redrives: must be 1 to %d, is %d", 1<<15, o.maxRedrives)
	}
	if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		fault("--since %s must be before --until %s", o.since.text, o.until.text)
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
