package cli

import (
	"errors"

	"github.com/spf13/cobra"

	bulkredrive "verdict/internal/bulk/redrive"
	"verdict/internal/term"
)

// dismissOptions are the flags of dismiss.
type dismissOptions struct {
	filter      letterFilter
	author      authorFlags
	undo        bool
	dryRun, yes bool
}

func dismissCommand(s Process) *cobra.Command {
	var o dismissOptions
	cmd := &cobra.Command{
		Use:   "dismiss",
		Short: "Mark dead letters as dealt with",
		Long: `Dismiss marks dead letters as dealt with: redrive no longer sends them back. They
stay in their topic. --undo takes the mark away. The ledger (kafka.topics.control)
has the marks, and the audit topic who set them, when and why.

Dismiss chooses the dead letters that match all filters, except those that went
back. Without a filter, it asks for confirmation on a terminal, and needs --yes
elsewhere.

With --dry-run, standard output first counts the chosen dead letters by topic,
reason and error. Its last line is always:

  chosen=N dismissed=N already=N redriven=N

where already=N were dismissed before and redriven=N went back; with --undo:

  chosen=N restored=N`,
		Example: `  verdict dismiss --reason expired --until 30d --why "reviewed by hand"

  # Show what would be dismissed
  verdict dismiss --batch-id spring-review --dry-run

  verdict dismiss --batch-id spring-review --undo --why "the wrong batch"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, faults := o.filter.filter()
			if err := errors.Join(faults...); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			terminal := term.IsTerminal(s.In)
			if filter.Any() && !o.yes && !o.dryRun && !terminal {
				return &usageError{cmd.CommandPath(), errors.New("without a filter, this would be done to every dead letter; " + noFilter)}
			}
			o.author.needsWhy = !o.dryRun
			author, err := o.author.author(cmd, s)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(cmd, s, false)
			if err != nil {
				return err
			}
			action := bulkredrive.Dismiss
			if o.undo {
				action = bulkredrive.Restore
			}
			r := letterRun{
				process: s, cfg: cfg, author: author, dryRun: o.dryRun, ask: terminal && filter.Any() && !o.yes,
				options: bulkredrive.Options{Action: action, Filter: filter, Limit: o.filter.limit},
			}
			return r.run(cmd.Context())
		},
	}
	o.filter.register(cmd, "maximum `number` of dead letters to dismiss (0: no limit)")
	f := cmd.Flags()
	f.BoolVar(&o.undo, "undo", false, "take the mark away from dismissed dead letters")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be dismissed, and mark nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	o.author.register(cmd, true)
	configFlags(cmd)
	return cmd
}
