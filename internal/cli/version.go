package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"verdict/metrics"
)

// version is set by the linker in releases.
var version = "devel"

// build says what program this is: the version that it was released as, and the
// commit that Go noted when it was built in a checkout.
func build() metrics.Build {
	b := metrics.Build{Version: version, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Revision += "-dirty"
		}
	}
	return b
}

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
	b := build()
	return fmt.Sprintf("verdict %s commit %s %s", b.Version, cmp.Or(b.Revision, "unknown"), b.GoVersion)
}
