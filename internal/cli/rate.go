package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/control"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

func rateCommand(s Process) *cobra.Command {
	var by authorFlags
	var lasts time.Duration
	var reset bool
	cmd := &cobra.Command{
		Use:   "rate CALLS-PER-SECOND | --reset",
		Short: "Change the rate of API calls while the service runs",
		Long: `Rate sets the group's rate in API calls a second, without a restart and for all
instances together: above 0, and at most api.rate_limit. It lasts until another one, or
for the time given with --for. --reset returns to api.rate_limit.

To make no calls, hold the lanes: "verdict hold --lane live".`,
		Example: `  verdict rate 5 --for 1h --why "PassFort asked us to slow down"

  verdict rate --reset --why "they are done"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if reset == (len(args) == 1) || len(args) > 1 {
				return &usageError{cmd.CommandPath(), errors.New("wants a rate in calls a second, or --reset")}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			usage := func(format string, args ...any) error {
				return &usageError{cmd.CommandPath(), fmt.Errorf(format, args...)}
			}
			rate := 0.0
			if !reset {
				var err error
				if rate, err = strconv.ParseFloat(args[0], 64); err != nil || !(rate > 0 && rate < 1e9) {
					return usage("the rate must be a number of calls a second, more than 0, is %q", args[0])
				}
			}
			if lasts < 0 || reset && lasts > 0 {
				return usage("--for: must be a duration such as 1h, and not with --reset, is %v", lasts)
			}
			return changeCommand(cmd, s, &by, func(ctx context.Context, cfg configs.Config, o store.Options) (control.Made, string, error) {
				if most := cfg.API.RateLimit; most > 0 && rate > most {
					return control.Made{}, "", usage("the rate must be at most api.rate_limit, %v calls a second, is %v", most, rate)
				}
				made, err := control.Rate(ctx, o, rate, lasts)
				if err != nil {
					return made, "", err
				}
				return made, "the rate is " + describeRate(*made.After.Rate, cfg.API.RateLimit), nil
			})
		},
	}
	by.register(cmd, true)
	cmd.Flags().DurationVar(&lasts, "for", 0, "`time` after which the rate is api.rate_limit again (0: until another rate)")
	cmd.Flags().BoolVar(&reset, "reset", false, "return to api.rate_limit")
	completeValues(cmd, "for", nil)
	configFlags(cmd)
	return cmd
}

// describeRate says what the rate is now.
func describeRate(r ledger.Rate, configured float64) string {
	switch {
	case r.PerSecond > 0:
		return control.DescribeRate(r)
	case configured > 0:
		return fmt.Sprintf("as configured: %v calls a second", configured)
	}
	return "as configured: unlimited"
}
