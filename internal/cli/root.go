package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
)

// rootCommand is verdict with all of its commands.
func rootCommand(s Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "verdict",
		Short: "Carries task decisions from Kafka out at the PassFort API",
		Long: `Verdict reads task decisions from Kafka and carries each of them out once: it
completes the task at the PassFort API, publishes a result or a dead letter,
and only then commits. Try it without anything else: verdict demo`,
		Version:                    versionLine(),
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{HiddenDefaultCmd: true},
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
		return &usageError{cmd.CommandPath(), err}
	})
	root.AddCommand(
		runCommand(s), demoCommand(s), sandboxCommand(s),
		submitCommand(s), followCommand(s), explainCommand(s), redriveCommand(s),
		decideCommand(s), checkCommand(s), topicsCommand(s), versionCommand(s),
	)
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	text := fmt.Sprintf("there is no command %q", name)
	if near := root.SuggestionsFor(name); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return errors.New(text)
}

// noArgs refuses positional arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{cmd.CommandPath(), fmt.Errorf("takes no arguments, got %q", args[0])}
	}
	return nil
}

// newLogger is the logger that the configuration asks for, on standard error.
func newLogger(s Process, cfg configs.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level.Level()}
	if cfg.Format == configs.LogText {
		return slog.New(slog.NewTextHandler(s.Err, options))
	}
	// A duration would be a number of nanoseconds without a word about it.
	options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(s.Err, options))
}

// loadConfig reads the configuration of a command that has configFlags.
func loadConfig(cmd *cobra.Command, s Process, needAPIKey bool) (configs.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return configs.Config{}, err
	}
	return configs.Load(configs.Sources{File: file, Env: s.Environ, Flags: cmd.Flags(), NeedAPIKey: needAPIKey})
}
