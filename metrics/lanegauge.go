package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// LaneGauge is a gauge with a value for each lane that it gets at each scrape, which is
// cheaper than updating a gauge with every decision.
type LaneGauge struct {
	desc   *prometheus.Desc
	source atomic.Pointer[func(decision.Lane) float64] // set by from, read by scrapes
}

func newLaneGauge(name, help string) LaneGauge {
	return LaneGauge{desc: prometheus.NewDesc(namespace+"_"+name, help, []string{"lane"}, nil)}
}

func (g *LaneGauge) from(source func(decision.Lane) float64) { g.source.Store(&source) }

// Describe implements prometheus.Collector.
func (g *LaneGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

// Collect implements prometheus.Collector.
func (g *LaneGauge) Collect(ch chan<- prometheus.Metric) {
	source := g.source.Load()
	for _, lane := range decision.Lanes {
		value := 0.0
		if source != nil {
			value = (*source)(lane)
		}
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, lane.String())
	}
}

// OldestUnsettled is a LaneGauge with the timestamp of the oldest decision that waits on
// this instance.
type OldestUnsettled struct{ LaneGauge }

// From sets the function that returns a lane's oldest timestamp, or the zero time if
// nothing waits. Scrapes call it from their own goroutines, so it must be fast.
func (o *OldestUnsettled) From(source func(decision.Lane) time.Time) {
	o.from(func(lane decision.Lane) float64 {
		if t := source(lane); !t.IsZero() {
			return float64(t.UnixMilli()) / 1000
		}
		return 0
	})
}

// Backlog is a LaneGauge with the number of records that are not settled.
type Backlog struct{ LaneGauge }

// From sets the function that returns a lane's backlog. Scrapes call it from their own
// goroutines, so it must be fast.
func (b *Backlog) From(source func(decision.Lane) int64) {
	b.from(func(lane decision.Lane) float64 { return float64(source(lane)) })
}
