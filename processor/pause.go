package processor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/metrics"
)

// pauses holds the causes for which calls are held at present. The gauges show what was
// set last.
type pauses struct {
	gauge *prometheus.GaugeVec // by cause
	lanes *prometheus.GaugeVec // by lane and cause
	on    map[decision.PauseCause]bool

	since     map[decision.PauseCause]time.Time // of the causes that are on
	laneSince map[lanePause]time.Time           // the same of the lanes
}

// lanePause is a lane's pause.
type lanePause struct {
	lane  decision.Lane
	cause decision.LanePauseCause
}

func newPauses(m *metrics.Metrics) pauses {
	return pauses{
		gauge: m.Paused, lanes: m.LanePaused, on: make(map[decision.PauseCause]bool),
		since: make(map[decision.PauseCause]time.Time), laneSince: make(map[lanePause]time.Time),
	}
}

// set begins or ends the pause for a cause, and returns whether there was one.
func (s *pauses) set(cause decision.PauseCause, on bool) (was bool) {
	was = s.on[cause]
	if was == on {
		return was
	}
	s.on[cause] = on
	keepSince(s.since, cause, on)
	s.gauge.WithLabelValues(string(cause)).Set(gaugeValue(on))
	return was
}

// setLane shows whether calls of a lane are held for a cause.
func (s *pauses) setLane(lane decision.Lane, cause decision.LanePauseCause, on bool) {
	s.lanes.WithLabelValues(lane.String(), string(cause)).Set(gaugeValue(on))
	keepSince(s.laneSince, lanePause{lane, cause}, on)
}

// keepSince notes since when a pause lasts.
func keepSince[K comparable](since map[K]time.Time, pause K, on bool) {
	if _, was := since[pause]; on && !was {
		since[pause] = time.Now()
	} else if !on {
		delete(since, pause)
	}
}

func gaugeValue(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// holdCalls reports whether calls are held for a cause that neither the pacer nor
// processor/health knows.
func (s *pauses) holdCalls() bool {
	return s.on[decision.PausedAuth] || s.on[decision.PausedKafka]
}
