package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/bulk/rows"
	"verdict/internal/control"
	"verdict/internal/ledger/store"
	"verdict/internal/term"
)

func cancelCommand(s Process) *cobra.Command {
	var by authorFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "cancel BATCH",
		Short: "End what is not begun of a batch as dead letters",
		Long: `Cancel ends the decisions of a batch that are not begun as dead letters with the
reason "cancelled". What was completed stays completed: "verdict follow BATCH
--report FILE" lists both. A cancel cannot be taken back, but its dead letters can be
sent again with "verdict redrive --reason cancelled".

It covers the decisions that are in Kafka now. If the batch is sent again, corrected,
that is not cancelled. A batch that waits for approval cannot be approved any more; its
decisions become no dead letters. If it is still being sent, stop its submit first; with --yes,
what is in Kafka is cancelled nevertheless, and what comes later is not.`,
		Example:           `  verdict cancel spring-review --why "two columns were swapped"`,
		Args:              oneArg("the ID of a batch"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			if err := rows.ValidBatchID(id); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return changeCommand(cmd, s, &by, func(ctx context.Context, cfg configs.Config, o store.Options) (control.Made, string, error) {
				if !yes && term.IsTerminal(s.In) && !term.Confirm(s.In, s.Err, fmt.Sprintf("Cancel what is not begun of batch %s?", id)) {
					return control.Made{}, "", errors.New("nothing was cancelled")
				}
				made, err := control.Cancel(ctx, o, id, cfg.Kafka.Topics.Inputs(), yes)
				if !made.Changed {
					return made, "", err
				}
				if made.Waits {
					return made, fmt.Sprintf("cancelled batch %s, which waited for approval and can't be approved any more; none of its decisions was in a lane", id), err
				}
				return made, fmt.Sprintf("cancelled batch %s; what was not begun becomes dead letters (verdict follow %s counts them)", id, id), err
			})
		},
	}
	by.register(cmd, true)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation, and cancel what is in Kafka of a batch that is still being sent")
	configFlags(cmd)
	return cmd
}
