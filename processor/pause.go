package processor

import (
	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// pauses holds the causes for which calls are held at present. Under
// Processor.mu, so that the gauge shows what was set last.
type pauses struct {
	gauge *prometheus.GaugeVec // by cause
	on    map[decision.PauseCause]bool
}

func newPauses(gauge *prometheus.GaugeVec) pauses {
	return pauses{gauge: gauge, on: make(map[decision.PauseCause]bool)}
}

// set begins or ends the pause for a cause, and returns whether there was one.
func (s *pauses) set(cause decision.PauseCause, on bool) (was bool) {
	was = s.on[cause]
	if was == on {
		return was
	}
	s.on[cause] = on
	value := 0.0
	if on {
		value = 1
	}
	s.gauge.WithLabelValues(string(cause)).Set(value)
	return was
}

// holdCalls reports whether calls are held for a cause that neither the pacer nor
// the breaker knows.
func (s *pauses) holdCalls() bool {
	return s.on[decision.PausedAuth] || s.on[decision.PausedKafka]
}
