package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// OldestUnsettled is a gauge with the timestamp of the oldest decision that waits on
// this instance. It gets the timestamp at each scrape, which is cheaper than updating a
// gauge with every decision.
type OldestUnsettled struct {
	desc   *prometheus.Desc
	source atomic.Pointer[func(decision.Lane) time.Time] // set by From, read by scrapes
}

func newOldestUnsettled() *OldestUnsettled {
	return &OldestUnsettled{desc: prometheus.NewDesc(
		namespace+"_oldest_unsettled_timestamp_seconds",
		"Timestamp of the oldest record that was fetched and is not yet settled, in seconds since 1970, by lane. 0 means none.",
		[]string{"lane"}, nil,
	)}
}

// From sets the function that returns a lane's oldest timestamp, or the zero time if
// nothing waits. Scrapes call it from their own goroutines, so it must be fast.
func (o *OldestUnsettled) From(source func(decision.Lane) time.Time) { o.source.Store(&source) }

// Describe implements prometheus.Collector.
func (o *OldestUnsettled) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect implements prometheus.Collector.
func (o *OldestUnsettled) Collect(ch chan<- prometheus.Metric) {
	source := o.source.Load()
	for _, lane := range decision.Lanes {
		seconds := 0.0
		if source != nil {
			if t := (*source)(lane); !t.IsZero() {
				seconds = float64(t.UnixMilli()) / 1000
			}
		}
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, seconds, lane.String())
	}
}
