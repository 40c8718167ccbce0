package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"verdict/configs"
)

func completionCommand(s Process) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	var noDescriptions bool
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh, fish or powershell",
		Long: `Completion prints a script that makes the shell complete Verdict's commands,
flags and values. Load it in each session, or install it once.`,
		Example: `  # bash, in this session (needs the package bash-completion)
  source <(verdict completion bash)

  # bash, in every session
  verdict completion bash > /etc/bash_completion.d/verdict

  # zsh, in every session (needs "autoload -U compinit; compinit" in ~/.zshrc)
  verdict completion zsh > "${fpath[1]}/_verdict"

  # fish, in every session
  verdict completion fish > ~/.config/fish/completions/verdict.fish

  # PowerShell, in this session
  verdict completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			if len(args) > 1 || !slices.Contains(shells, args[0]) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("wants one of %s, got %q", strings.Join(shells, ", "), strings.Join(args, " "))}
			}
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(s.Out, !noDescriptions)
			case "zsh":
				if noDescriptions {
					return root.GenZshCompletionNoDesc(s.Out)
				}
				return root.GenZshCompletion(s.Out)
			case "fish":
				return root.GenFishCompletion(s.Out, !noDescriptions)
			default:
				if noDescriptions {
					return root.GenPowerShellCompletion(s.Out)
				}
				return root.GenPowerShellCompletionWithDesc(s.Out)
			}
		},
	}
	cmd.Flags().BoolVar(&noDescriptions, "no-descriptions", false, "complete without descriptions")
	return cmd
}

// completeKeys completes the flags of configuration keys: the values of a closed
// set, and files only for keys that name one.
func completeKeys(cmd *cobra.Command) {
	for k := range configs.Keys() {
		switch {
		case len(k.Choices) > 0:
			completeValues(cmd, k.Flag(), k.Choices)
		case !strings.HasSuffix(k.Name, "_file"):
			completeValues(cmd, k.Flag(), nil)
		}
	}
}

// completeValues completes a flag with the values of a closed set; none for a
// flag whose value can only be typed.
func completeValues(cmd *cobra.Command, flag string, values []string) {
	register(cmd, flag, func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return startingWith(typed, "", values), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeList completes the last value of a flag that takes a list separated by
// commas.
func completeList(cmd *cobra.Command, flag string, values []string) {
	register(cmd, flag, func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		given := typed[:strings.LastIndexByte(typed, ',')+1]
		return startingWith(typed, given, values), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// startingWith returns prefix and value for each value for which that starts with
// what was typed. The empty value cannot be completed.
func startingWith(typed, prefix string, values []string) []cobra.Completion {
	var all []cobra.Completion
	for _, v := range values {
		if v != "" && strings.HasPrefix(prefix+v, typed) {
			all = append(all, prefix+v)
		}
	}
	return all
}

// completeFiles completes a flag with the names of files that have one of the
// extensions.
func completeFiles(cmd *cobra.Command, flag string, extensions ...string) {
	if err := cmd.MarkFlagFilename(flag, extensions...); err != nil {
		panic(err) // no such flag: a mistake in this package
	}
}

func register(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // no such flag, or registered twice: a mistake in this package
	}
}
