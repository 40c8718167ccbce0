package cli

import (
	"context"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/control"
	"verdict/internal/ledger/store"
)

func resumeCommand(s Process) *cobra.Command {
	var by authorFlags
	var target targetFlags
	cmd := &cobra.Command{
		Use:   "resume BATCH | --lane LANE | --task PROFILE/TASK",
		Short: "Restart what was held",
		Long: `Resume ends a hold, and says which. It also makes instances try a batch or a lane
again that they hold by themselves, because the API refused all of its decisions.

To resume what is not held is no error.`,
		Example: `  verdict resume spring-review --why "checked with the analysts: the file is right"

  verdict resume --lane backfill`,
		Args:              target.args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeCommand(cmd, s, &by, func(ctx context.Context, cfg configs.Config, o store.Options) (control.Made, string, error) {
				key, err := target.key(cfg.Kafka.Topics, args)
				if err != nil {
					return control.Made{}, "", &usageError{cmd.CommandPath(), err}
				}
				made, err := control.Resume(ctx, o, key)
				name := control.Describe(key)
				switch h := made.Before.Hold; {
				case h == nil || !h.Held:
					return made, name + " was not held", err
				case h.Cancelled != nil:
					return made, "resumed " + name + ", which was held and is cancelled: what was begun goes on, and what was cancelled stays so", err
				}
				return made, "resumed " + name + ", which was held" + since(made.Before), err
			})
		},
	}
	by.register(cmd, false)
	target.register(cmd)
	configFlags(cmd)
	return cmd
}
