package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"verdict/configs"
)

// writeUsage prints what follows the description in a command's help. The flags
// of configuration keys are left to `verdict help config`, because a command's
// own flags would be lost among them.
func writeUsage(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	line := cmd.UseLine()
	if !cmd.HasParent() {
		line = "verdict COMMAND [flags]"
	}
	fmt.Fprintf(out, "Usage:\n  %s\n", line)
	if cmd.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, group := range cmd.Groups() {
		fmt.Fprintf(out, "\n%s\n", group.Title)
		writeCommands(out, cmd, group.ID)
	}
	own, hasKeys := pflag.NewFlagSet("", pflag.ContinueOnError), false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, isKey := configs.KeyOf(f); isKey {
			hasKeys = true
		} else {
			own.AddFlag(f)
		}
	})
	if own.HasAvailableFlags() {
		fmt.Fprintf(out, "\nFlags:\n%s", own.FlagUsages())
	}
	switch {
	case hasKeys:
		fmt.Fprint(out, "\nEvery configuration key is also a flag, such as --kafka-brokers.\nFor all keys, see \"verdict help config\".\n")
	case !cmd.HasParent():
		fmt.Fprint(out, "\nFor a command, see \"verdict COMMAND --help\".\nFor all configuration keys, see \"verdict help config\".\n")
	}
	return nil
}

// writeCommands prints the commands of one group.
func writeCommands(out io.Writer, parent *cobra.Command, group string) {
	for _, cmd := range parent.Commands() {
		if cmd.GroupID == group {
			fmt.Fprintf(out, "  %-*s  %s\n", parent.NamePadding(), cmd.Name(), cmd.Short)
		}
	}
}
