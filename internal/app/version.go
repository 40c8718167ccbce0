package app

import (
	"runtime"
	"runtime/debug"

	"verdict/metrics"
)

// version is set by the linker in releases.
var version = "devel"

// userAgent names this program to the API and to the Schema Registry.
func userAgent() string { return "verdict/" + version }

// Build describes this program: its version as released, and the commit that Go
// records when it builds in a checkout.
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
