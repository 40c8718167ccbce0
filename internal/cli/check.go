package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/check"
	"verdict/internal/term"
)

func checkCommand(s Process) *cobra.Command {
	var asJSON bool
	var o check.Options
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether \"verdict run\" would work with this configuration",
		Long: `Check tests everything that "verdict run" needs, and changes nothing: the
configuration, brokers, topics, rights, the consumer group and its members, the
backlog, the API key, clocks, and the Schema Registry if one is configured. It
prints one line per check:

  ok|warn|fail  name  detail; what to do about it

The service runs in spite of warnings. The exit status is 0 if it would work, 1
if a check failed, and 2 if the configuration is invalid.

Check calls the API once (whoami), outside the rate limit. It tests rights with a
partition and a group member that do not exist. Kafka does not expose a broker's
clock, so check only looks for records from the future.`,
		Example: `  verdict check --config verdict.yaml

  # Only what needs attention
  verdict check --json | jq '.checks[] | select(.status != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--timeout: must be more than 0s, is %s", o.Timeout)}
			}
			cfg, err := loadConfig(cmd, s, true)
			var faults configs.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			found, faults := check.Run(cmd.Context(), cfg, faults, o)
			if err := writeFindings(s.Out, found, asJSON); err != nil {
				return err
			}
			if len(faults) > 0 {
				return faults
			}
			if n := found.Count(check.Fail); n > 0 {
				return fmt.Errorf("%d of %s failed: run would not work", n, term.Plural(len(found), "check"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of lines")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Second, "time limit of each check")
	completeValues(cmd, "timeout", nil)
	configFlags(cmd)
	return cmd
}

// writeFindings prints one line for each finding, or one JSON object.
func writeFindings(out io.Writer, found check.Findings, asJSON bool) error {
	if asJSON {
		report := struct {
			OK     bool           `json:"ok"`
			Checks check.Findings `json:"checks"`
		}{found.Count(check.Fail) == 0, found}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	for _, f := range found {
		text := f.Detail
		if f.Hint != "" {
			text += "; " + f.Hint
		}
		if _, err := fmt.Fprintf(out, "%-4s  %s  %s\n", f.Status, f.Name, term.OneLine(text)); err != nil {
			return err
		}
	}
	return nil
}
