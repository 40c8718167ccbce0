package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/control"
	"verdict/internal/ledger/store"
	"verdict/internal/term"
)

func holdCommand(s Process) *cobra.Command {
	var by authorFlags
	var target targetFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "hold BATCH | --lane LANE | --task PROFILE/TASK",
		Short: "Stop a batch, a lane or a task",
		Long: `Hold stops what is not begun: the decisions of a batch, of a lane or on a task. All
instances obey within a second, and those that start later too, until "verdict
resume". A call that is in flight ends as it does. Decisions that are held keep their
place; nothing is lost.

A batch that the ledger does not know is refused, since its ID may be misspelled; with
--yes it is held before it is sent.`,
		Example: `  verdict hold spring-review --why "two columns were swapped"

  # During a maintenance window of the API
  verdict hold --lane backfill --why "API maintenance until 06:00"

  verdict hold --task 3ceaaf30-8142-c8ea-91d9-3080f9b439fc/70ff753d-3c88-ad8a-bd70-73d26c7e40ec`,
		Args:              target.args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeCommand(cmd, s, &by, func(ctx context.Context, cfg configs.Config, o store.Options) (control.Made, string, error) {
				key, err := target.key(cfg.Kafka.Topics, args)
				if err != nil {
					return control.Made{}, "", &usageError{cmd.CommandPath(), err}
				}
				made, err := control.Hold(ctx, o, key, yes)
				if _, unknown := errors.AsType[*control.UnknownBatchError](err); unknown {
					err = errors.Join(err, errors.New("to hold it before it is sent, use --yes"))
				}
				name := term.OneLine(control.Describe(key))
				if !made.Changed {
					return made, name + " is held already," + since(made.Before), err
				}
				return made, "held " + name, err
			})
		},
	}
	by.register(cmd, false)
	target.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "hold a batch that the ledger does not know yet")
	configFlags(cmd)
	return cmd
}
