package app

import (
	"runtime"
	"runtime/debug"

	"verdict/metrics"
)

// version is set by the linker in releases.
var version = "devel"

// Build says what program this is: the version that it was released as, and the
// commit that Go noted when it was built in a checkout.
func Build() metrics.Build {
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
