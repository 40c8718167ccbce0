package cli

import (
	"cmp"
	"fmt"

	"verdict/internal/app"

	"github.com/spf13/cobra"
)

func versionCommand(s Process) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  verdict version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, versionLine())
			return err
		},
	}
}

// versionLine is what version and --version print.
func versionLine() string {
	b := app.Build()
	return fmt.Sprintf("verdict %s commit %s %s", b.Version, cmp.Or(b.Revision, "unknown"), b.GoVersion)
}
