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
		Short: "Say whether a run with this configuration would work",
		Long: `Check looks at everything that run needs, in one pass, and changes nothing:
configuration, brokers, topics, the rights to them, the group and its members,
the backlog, the API key, the clocks and the Schema Registry, if one is
configured. Each check is one line,

  ok|warn|fail  name  detail; what to do about it

on standard output. A warning keeps nothing from working. The exit status is 0
if run would work, 1 if not, 2 if the configuration itself is at fault. The one
call to the API (whoami) takes no token of the rate limit.

Rights are tried: reading and writing with a partition that does not exist,
taking part in the group with a member that does not exist. Kafka's protocol
does not tell a broker's clock; only records from the future are looked for.`,
		Example: `  verdict check --config verdict.yaml
  verdict check --json | jq '.checks[] | select(.status != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Timeout <= 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--timeout: want more than 0s, is %s", o.Timeout)}
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object instead of lines")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Second, "longest time for one check")
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
