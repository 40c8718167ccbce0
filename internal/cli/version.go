package cli

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"verdict/internal/app"
)

func versionCommand(s Process) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go version",
		Example: "  verdict version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, versionLine())
			return err
		},
	}
}

// versionLine returns what `version` and --version print.
func versionLine() string {
	b := app.Build()
	return fmt.Sprintf("verdict %s commit %s %s", b.Version, cmp.Or(b.Revision, "unknown"), b.GoVersion)
}
