package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"verdict/configs"
)

// Groups of commands in `verdict --help`.
const (
	groupTry       = "try"
	groupService   = "service"
	groupDecisions = "decisions"
	groupControl   = "control"
	groupOther     = "other"
)

// rootCommand returns `verdict` with all of its commands.
func rootCommand(s Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "verdict",
		Short: "Complete PassFort tasks from decisions in Kafka",
		Long: `Verdict completes PassFort tasks from decisions in Kafka.

For each decision it completes the task at the PassFort API, publishes a result
or a dead letter, and then commits the decision's offset. Failed calls are
retried, and all instances of a consumer group share one rate limit.`,
		Example: `  # Try everything in one process; needs no Kafka and no API key
  verdict demo

  # Check a configuration, then run the service with it
  verdict check --config verdict.yaml
  verdict run --config verdict.yaml`,
		Version:                    versionLine(),
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return &usageError{cmd.CommandPath(), unknownCommand(cmd, args[0])}
		},
		Args: cobra.ArbitraryArgs,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{cmd.CommandPath(), unknownFlag(cmd, err)}
	})
	root.SetUsageFunc(writeUsage)
	root.AddGroup(
		&cobra.Group{ID: groupTry, Title: "Try it out:"},
		&cobra.Group{ID: groupService, Title: "Run the service:"},
		&cobra.Group{ID: groupDecisions, Title: "Work with decisions:"},
		&cobra.Group{ID: groupControl, Title: "Control what runs:"},
		&cobra.Group{ID: groupOther, Title: "Other commands:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupTry, demoCommand(s), sandboxCommand(s))
	add(groupService, checkCommand(s), topicsCommand(s), runCommand(s), decideCommand(s))
	add(groupDecisions, submitCommand(s), approveCommand(s), followCommand(s), explainCommand(s), verifyCommand(s), redriveCommand(s), dismissCommand(s), proveCommand(s))
	add(groupControl, statusCommand(s), batchesCommand(s), holdCommand(s), resumeCommand(s), cancelCommand(s), rateCommand(s), auditCommand(s), keyCommand(s))
	help := helpCommand(s)
	add(groupOther, completionCommand(s), help, versionCommand(s))
	root.SetHelpCommand(help)
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	text := fmt.Sprintf("there is no command %q", name)
	if near := root.SuggestionsFor(name); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return errors.New(text)
}

// unknownFlag adds the most similar flag to an error about an unknown one.
func unknownFlag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string // with _ for -, as Nearest compares
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		known = append(known, strings.ReplaceAll(f.Name, "-", "_"))
	})
	near := strings.ReplaceAll(configs.Nearest(unknown.GetSpecifiedName(), known), "_", "-")
	return fmt.Errorf("unknown flag --%s; did you mean --%s?", unknown.GetSpecifiedName(), near)
}

// noArgs refuses positional arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{cmd.CommandPath(), fmt.Errorf("takes no arguments, got %q", args[0])}
	}
	return nil
}

// oneArg requires one positional argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return &usageError{cmd.CommandPath(), fmt.Errorf("wants %s, got %d arguments", what, len(args))}
		}
		return nil
	}
}
