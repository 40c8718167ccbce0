package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// OldestUnsettled tells, at each scrape, since when the oldest decision that
// this instance holds waits. It asks whoever holds the decisions, so that nobody
// has to keep a gauge true with every decision that comes and goes.
type OldestUnsettled struct {
	desc *prometheus.Desc
	ask  atomic.Pointer[func(decision.Lane) time.Time] // set by From, read by scrapes
}

func newOldestUnsettled() *OldestUnsettled {
	return &OldestUnsettled{desc: prometheus.NewDesc(
		namespace+"_oldest_unsettled_timestamp_seconds",
		"Timestamp of the oldest record that was fetched and is not settled, in seconds since 1970, by lane; 0 where there is none.",
		[]string{"lane"}, nil,
	)}
}

// From sets who is asked: for a lane's oldest timestamp, zero where nothing
// waits. It may be called from any goroutine and must not wait for long.
func (o *OldestUnsettled) From(ask func(decision.Lane) time.Time) { o.ask.Store(&ask) }

// Describe is prometheus.Collector.
func (o *OldestUnsettled) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect is prometheus.Collector.
func (o *OldestUnsettled) Collect(ch chan<- prometheus.Metric) {
	ask := o.ask.Load()
	for _, lane := range decision.Lanes {
		seconds := 0.0
		if ask != nil {
			if t := (*ask)(lane); !t.IsZero() {
				seconds = float64(t.UnixMilli()) / 1000
			}
		}
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, seconds, lane.String())
	}
}
