package metrics

import "github.com/prometheus/client_golang/prometheus"

// RegisterReady registers verdict_ready: what /readyz says, for those who look
// at Prometheus. ready is asked at each scrape; nil means that work is taken. It
// panics where reg has the metric already.
func RegisterReady(reg prometheus.Registerer, ready func() error) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace,
		Name:      "ready",
		Help:      "Whether this instance takes work (1) or not (0): the answer of /readyz.",
	}, func() float64 {
		if ready() != nil {
			return 0
		}
		return 1
	}))
}
