package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/term"
)

// helpConfig is the help topic of the configuration keys.
const helpConfig = "config"

func helpCommand(s Process) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | config]",
		Short: "Show help for a command, or for the configuration",
		Long: `Help shows the help of a command. "verdict help config" lists every
configuration key with its flag, its environment variable and its default.`,
		Example: `  verdict help submit
  verdict help config`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names := []cobra.Completion{cobra.CompletionWithDesc(helpConfig, "List every configuration key")}
			for _, c := range cmd.Root().Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == helpConfig {
				if len(args) > 1 {
					return &usageError{cmd.CommandPath(), fmt.Errorf("%s takes no arguments, got %q", helpConfig, args[1])}
				}
				return writeKeys(s.Out)
			}
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(args) > 0 && len(rest) == len(args) {
				return &usageError{cmd.CommandPath(), unknownCommand(cmd.Root(), args[0])}
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}

// helpWidth is the width of help texts in bytes.
const helpWidth = 80

// writeKeys prints every configuration key.
func writeKeys(out io.Writer) error {
	var b strings.Builder
	b.WriteString(term.Wrap("Configuration is read from a YAML file (--config FILE, or "+configs.DefaultFile+
		" in the working directory if there is one), then from environment variables, then from flags. A later source overrides an earlier one.", helpWidth, ""))
	b.WriteString("\n")
	for k := range configs.Keys() {
		fmt.Fprintf(&b, "%s\n  flag:        --%s\n  environment: %s\n  default:     %s\n", k.Name, k.Flag(), k.Env(), cmp.Or(k.Default, "none"))
		b.WriteString(term.Wrap(k.FlagUsage(), helpWidth, "  "))
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}
