package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says what program this is.
type Build struct {
	Version   string // such as v1.2.0, or devel
	Revision  string // the commit; empty: not known
	GoVersion string // such as go1.26.0
}

// RegisterProcess registers what is told once a process and not once a
// service: verdict_build_info and the collectors of the Go runtime and of the
// operating system's process. It panics where reg has them already.
func RegisterProcess(reg prometheus.Registerer, b Build) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace:   namespace,
		Name:        "build_info",
		Help:        "Always 1; its labels say which build of Verdict this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion},
	})
	info.Set(1)
	reg.MustRegister(info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
