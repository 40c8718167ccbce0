package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"verdict/configs"
)

// configFlags gives a command the flags of the configuration, and --config. In its
// help they stand apart from its own, which would be lost among them.
func configFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "YAML file to read the configuration from (default: "+configs.DefaultFile+", if it is there)")
	configs.RegisterFlags(cmd.Flags())
	cmd.SetUsageFunc(usageWithConfig)
}

func usageWithConfig(cmd *cobra.Command) error {
	keys := pflag.NewFlagSet("", pflag.ContinueOnError)
	configs.RegisterFlags(keys)
	own, configuration := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if keys.Lookup(f.Name) == nil {
			own.AddFlag(f)
		} else {
			configuration.AddFlag(f)
		}
	})
	_, err := fmt.Fprintf(cmd.OutOrStderr(), "Usage:\n  %s\n\nExamples:\n%s\n\nFlags:\n%s\nConfiguration (also as keys of the file, and in the environment as VERDICT_…):\n%s",
		cmd.UseLine(), cmd.Example, own.FlagUsages(), configuration.FlagUsages())
	return err
}
