package cli

import (
	"github.com/spf13/cobra"

	"verdict/configs"
)

// configFlags gives a command --config and a flag for every configuration key.
func configFlags(cmd *cobra.Command) {
	const config = "config"
	cmd.Flags().String(config, "", "read the configuration from this YAML `FILE` (default: "+configs.DefaultFile+", if there is one)")
	completeFiles(cmd, config, "yaml", "yml")
	configs.RegisterFlags(cmd.Flags())
	completeKeys(cmd)
}

// loadConfig reads the configuration of a command that has configFlags.
func loadConfig(cmd *cobra.Command, s Process, needAPIKey bool) (configs.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return configs.Config{}, err
	}
	return configs.Load(configs.Sources{File: file, Env: s.Environ, Flags: cmd.Flags(), NeedAPIKey: needAPIKey})
}
