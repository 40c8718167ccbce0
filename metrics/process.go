package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build describes the running program.
type Build struct {
	Version   string // such as v1.2.0, or devel
	Revision  string // the commit; empty if unknown
	GoVersion string // such as go1.26.0
}

// RegisterProcess registers the metrics of the process as a whole: verdict_build_info
// and the collectors for the Go runtime and the operating system's process. It panics if
// reg already has them.
func RegisterProcess(reg prometheus.Registerer, b Build) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace:   namespace,
		Name:        "build_info",
		Help:        "Always 1. The labels describe the build of Verdict.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion},
	})
	info.Set(1)
	reg.MustRegister(info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
