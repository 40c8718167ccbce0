package metrics

import "github.com/prometheus/client_golang/prometheus"

// RegisterReady registers verdict_ready, which says the same as /readyz. Each scrape
// calls ready, which reports whether the service takes work. RegisterReady panics if reg
// already has the metric.
func RegisterReady(reg prometheus.Registerer, ready func() bool) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace,
		Name:      "ready",
		Help:      "Whether this instance takes work (1) or not (0), as /readyz reports.",
	}, func() float64 {
		if ready() {
			return 1
		}
		return 0
	}))
}
