// Package metrics declares every metric of Verdict and serves them on the admin HTTP
// server. Other packages decide when to count, and what "ready" and "healthy" mean.
//
// The label values of a metric come from a closed set, from the configuration or from
// the partitions that the instance owns, so no input can create an unbounded number of
// series. For the same reason callers count an HTTP status outside of 100 to 599 as
// "error". No metric has the consumer group as a label, which would change every series
// with the group: set the label group in the scrape configuration instead.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// namespace is the prefix of Verdict's own metrics.
const namespace = "verdict"

// CommitOutcome says how an offset commit ended. Its text is the metric label.
type CommitOutcome string

// The outcomes of an offset commit.
const (
	CommitOK    CommitOutcome = "ok"
	CommitError CommitOutcome = "error"
)

// commitOutcomes lists every outcome of an offset commit.
var commitOutcomes = [...]CommitOutcome{CommitOK, CommitError}

// Metrics are the metrics of one running service. They are safe for concurrent use. The
// comments name the labels.
type Metrics struct {
	Decisions          *prometheus.CounterVec   // lane, outcome
	DeadLetters        *prometheus.CounterVec   // lane, reason
	APIRequests        *prometheus.CounterVec   // operation, code (a status, timeout or error)
	APIRequestDuration *prometheus.HistogramVec // operation
	Retries            *prometheus.CounterVec   // cause
	IDReuse            prometheus.Counter
	DecisionDuration   *prometheus.HistogramVec // lane
	InFlight           prometheus.Gauge
	Pending            *prometheus.GaugeVec // lane
	Parked             *prometheus.GaugeVec // lane
	RateLimit          prometheus.Gauge     // calls per second; +Inf means unlimited
	RateLimitWait      prometheus.Histogram
	Paused             *prometheus.GaugeVec // cause
	LanePaused         *prometheus.GaugeVec // lane, cause
	ConsumerLag        *prometheus.GaugeVec // topic, partition; delete series of partitions that are no longer owned
	TopicInfo          *prometheus.GaugeVec // topic, lane; 1 for each topic that is read
	PartitionsAssigned prometheus.Gauge
	Rebalances         prometheus.Counter
	RecordsLost        *prometheus.CounterVec   // topic
	Commits            *prometheus.CounterVec   // outcome, a CommitOutcome
	PublishDuration    *prometheus.HistogramVec // topic
	OldestUnsettled    *OldestUnsettled
	Backlog            *Backlog
}

// Classic buckets in seconds, for Prometheus servers that do not scrape native
// histograms. Each set is short and has its boundaries where users need a quantile.
var (
	// A good call takes tens to hundreds of milliseconds. The API gives up after 60 s;
	// longer calls were ended by api.timeout.
	apiBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// From a live decision that is called at once to a backfill of days: a million
	// decisions at 50 per second take five and a half hours.
	decisionBuckets = []float64{.025, .05, .1, .25, .5, 1, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 72 * 3600}
	// An idle limiter grants a call within microseconds. With a very low rate, or after
	// a 429, the wait takes seconds to minutes.
	waitBuckets = []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60}
	// All in-sync replicas acknowledge within milliseconds; seconds mean that Kafka has
	// a problem.
	publishBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// New returns metrics registered with reg. Every series of a closed label set exists
// from the start, at 0, so that rates and alerts work from the first event on. New
// panics if reg already has one of the names.
func New(reg prometheus.Registerer) *Metrics {
	f := factory{reg}
	m := &Metrics{
		Decisions: f.counters("decisions_total",
			"Decisions settled, by lane and outcome.", "lane", "outcome"),
		DeadLetters: f.counters("dead_letters_total",
			"Decisions settled as dead letters, by lane and reason.", "lane", "reason"),
		APIRequests: f.counters("api_requests_total",
			"API calls, by operation and HTTP status. The code is timeout if no answer came in time, and error if none came for another reason.", "operation", "code"),
		APIRequestDuration: f.histograms("api_request_duration_seconds",
			"Duration of one API call in seconds, from sending the request to the last byte of the answer or the failure.", apiBuckets, "operation"),
		Retries: f.counters("retries_total",
			"Retries scheduled, by cause.", "cause"),
		IDReuse: f.counter("id_reuse_total",
			"Decisions whose ID another decision had before: with another task or state, or from another CloudEvents source. Each was carried out."),
		DecisionDuration: f.histograms("decision_duration_seconds",
			"Time in seconds from the timestamp of a decision's record until the decision is settled.", decisionBuckets, "lane"),
		InFlight: f.gauge("in_flight",
			"API calls in flight."),
		Parked: f.gauges("parked",
			"Decisions of tasks that have their share in memory already. Their records are read again when it is their turn.", "lane"),
		Pending: f.gauges("pending",
			"Decisions fetched and not yet settled, by lane.", "lane"),
		RateLimit: f.gauge("rate_limit",
			"API calls per second that this instance may make now. +Inf means unlimited."),
		RateLimitWait: f.histogram("rate_limit_wait_seconds",
			"Time in seconds that ready work waited for the rate limit.", waitBuckets),
		Paused: f.gauges("paused",
			"Whether API calls are paused (1) or not (0), by cause.", "cause"),
		LanePaused: f.gauges("lane_paused",
			"Whether API calls of one lane are paused (1) or not (0), by lane and cause.", "lane", "cause"),
		ConsumerLag: f.gauges("consumer_lag",
			"Records between the committed offset and the end of an owned partition.", "topic", "partition"),
		TopicInfo: f.gauges("topic_info",
			"Always 1. The labels name the lane of each topic that is read.", "topic", "lane"),
		PartitionsAssigned: f.gauge("partitions_assigned",
			"Partitions that this instance owns."),
		Rebalances: f.counter("rebalances_total",
			"Generations of the consumer group that this instance joined."),
		RecordsLost: f.counters("records_lost_total",
			"Records that were deleted before they were carried out, by the topic's retention or with the topic, by topic.", "topic"),
		Commits: f.counters("commits_total",
			"Offset commits, by outcome.", "outcome"),
		PublishDuration: f.histograms("publish_duration_seconds",
			"Time in seconds from handing a record to the publisher until all in-sync replicas acknowledge it or it fails, by topic.", publishBuckets, "topic"),
		OldestUnsettled: register(f, &OldestUnsettled{newLaneGauge("oldest_unsettled_timestamp_seconds",
			"Timestamp of the oldest record that was fetched and is not yet settled, in seconds since 1970, by lane. 0 means none.")}),
		Backlog: register(f, &Backlog{newLaneGauge("backlog",
			"Records in the partitions that this instance owns that are not settled, fetched or not, by lane. Unlike the lag it leaves out what is settled beyond the committed offset, so scale by this metric.")}),
	}
	m.createSeries()
	return m
}

// createSeries creates every series of a closed label set.
func (m *Metrics) createSeries() {
	for _, l := range decision.Lanes {
		lane := l.String()
		for _, o := range decision.Outcomes {
			m.Decisions.WithLabelValues(lane, string(o))
		}
		for _, r := range decision.Reasons {
			m.DeadLetters.WithLabelValues(lane, string(r))
		}
		m.DecisionDuration.WithLabelValues(lane)
		m.Pending.WithLabelValues(lane)
		m.Parked.WithLabelValues(lane)
		for _, c := range decision.LanePauseCauses {
			m.LanePaused.WithLabelValues(lane, string(c))
		}
	}
	for _, o := range passfort.Operations {
		m.APIRequestDuration.WithLabelValues(string(o))
	}
	for _, c := range decision.RetryCauses {
		m.Retries.WithLabelValues(string(c))
	}
	for _, c := range decision.PauseCauses {
		m.Paused.WithLabelValues(string(c))
	}
	for _, o := range commitOutcomes {
		m.Commits.WithLabelValues(string(o))
	}
}

// factory creates metrics and registers them.
type factory struct{ reg prometheus.Registerer }

// register registers c and returns it.
func register[C prometheus.Collector](f factory, c C) C {
	f.reg.MustRegister(c)
	return c
}

func (f factory) counter(name, help string) prometheus.Counter {
	return register(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return register(f, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(f, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(f, prometheus.NewHistogram(histogramOpts(name, help, buckets)))
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels))
}

// histogramOpts adds a native histogram to the classic buckets. With factor 1.1 the
// error of a quantile is below 5 %. Its memory is bounded: at 160 buckets it resets, at
// most once an hour, and otherwise becomes coarser.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}
