// Package metrics holds every metric of Verdict, on a registerer that is
// injected, and the admin HTTP server that shows them. When to count is left to
// the packages that do the work; so is what "ready" and "healthy" mean.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// namespace is the prefix of every metric of Verdict's own.
const namespace = "verdict"

// CommitOutcome is how a commit of offsets ended. Its text is the metric label.
type CommitOutcome string

// The outcomes of a commit.
const (
	CommitOK    CommitOutcome = "ok"
	CommitError CommitOutcome = "error"
)

// CommitOutcomes is every outcome of a commit.
var CommitOutcomes = [...]CommitOutcome{CommitOK, CommitError}

// Metrics is every metric of one running service. All of it may be used by any
// goroutine.
type Metrics struct {
	Decisions          *prometheus.CounterVec   // lane, outcome
	DeadLetters        *prometheus.CounterVec   // lane, reason
	APIRequests        *prometheus.CounterVec   // operation, code (the status, or timeout, error)
	APIRequestDuration *prometheus.HistogramVec // operation
	Retries            *prometheus.CounterVec   // cause
	DecisionDuration   *prometheus.HistogramVec // lane
	InFlight           prometheus.Gauge
	Pending            *prometheus.GaugeVec // lane
	RateLimit          prometheus.Gauge     // calls per second; +Inf when unlimited
	RateLimitWait      prometheus.Histogram
	Paused             *prometheus.GaugeVec // cause
	ConsumerLag        *prometheus.GaugeVec // topic, partition; delete what is no longer owned
	TopicInfo          *prometheus.GaugeVec // topic, lane; 1 for each topic that is read
	PartitionsAssigned prometheus.Gauge
	Rebalances         prometheus.Counter
	Commits            *prometheus.CounterVec   // outcome, a CommitOutcome
	PublishDuration    *prometheus.HistogramVec // topic
	OldestUnsettled    *OldestUnsettled
}

// Classic buckets, in seconds. They are for Prometheus servers that do not
// scrape native histograms, so each set is short and has its boundaries where a
// question is asked.
var (
	// A good call takes tens to hundreds of milliseconds. 60 is the API's own
	// time-out: what lies beyond it was cut by ours (api.timeout, 65 s).
	apiBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// From a live decision taken at once to a backfill of days: a million
	// decisions at 50 a second take five and a half hours.
	decisionBuckets = []float64{.025, .05, .1, .25, .5, 1, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 72 * 3600}
	// An idle limiter gives its token within microseconds; at a rate of one call
	// in some seconds, or after a 429, the wait is as long as the pause.
	waitBuckets = []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60}
	// One round to all in-sync replicas takes milliseconds; seconds mean that
	// Kafka is in trouble.
	publishBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// New makes the metrics and registers them. Every series of a closed label set
// is there from the start at 0, so that a rate over it or an alert on it works
// from the first event on. It panics where reg has one of the names already.
func New(reg prometheus.Registerer) *Metrics {
	f := factory{reg}
	m := &Metrics{
		Decisions: f.counters("decisions_total",
			"Decisions settled, by lane and by how they were settled.", "lane", "outcome"),
		DeadLetters: f.counters("dead_letters_total",
			"Decisions settled as a dead letter, by lane and reason.", "lane", "reason"),
		APIRequests: f.counters("api_requests_total",
			"Calls made to the API, by operation and HTTP status; code is timeout where no answer came in time, error where there was none for another cause.", "operation", "code"),
		APIRequestDuration: f.histograms("api_request_duration_seconds",
			"Time of one call to the API in seconds, from sending it to its last byte or its failure.", apiBuckets, "operation"),
		Retries: f.counters("retries_total",
			"Calls put off to be made again, by cause.", "cause"),
		DecisionDuration: f.histograms("decision_duration_seconds",
			"Time in seconds from the timestamp of a decision's record until it was settled.", decisionBuckets, "lane"),
		InFlight: f.gauge("in_flight",
			"Calls to the API under way now."),
		Pending: f.gauges("pending",
			"Decisions fetched and not yet settled, by lane.", "lane"),
		RateLimit: f.gauge("rate_limit",
			"Calls per second that this instance may make now; +Inf when unlimited."),
		RateLimitWait: f.histogram("rate_limit_wait_seconds",
			"Time in seconds that ready work waited for the rate limit before it was sent.", waitBuckets),
		Paused: f.gauges("paused",
			"Whether calls are held back (1) or not (0), by cause.", "cause"),
		ConsumerLag: f.gauges("consumer_lag",
			"Records of an owned partition from its committed offset to its end.", "topic", "partition"),
		TopicInfo: f.gauges("topic_info",
			"Always 1; its labels say which lane the decisions of a topic are in.", "topic", "lane"),
		PartitionsAssigned: f.gauge("partitions_assigned",
			"Partitions that this instance owns now."),
		Rebalances: f.counter("rebalances_total",
			"Generations of the consumer group that this instance joined."),
		Commits: f.counters("commits_total",
			"Commits of offsets, by outcome.", "outcome"),
		PublishDuration: f.histograms("publish_duration_seconds",
			"Time in seconds from handing a record to the publisher until all in-sync replicas acknowledged it or it failed, by topic.", publishBuckets, "topic"),
		OldestUnsettled: register(f, newOldestUnsettled()),
	}
	m.begin()
	return m
}

// begin brings every series of a closed label set into being.
func (m *Metrics) begin() {
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
	for _, o := range CommitOutcomes {
		m.Commits.WithLabelValues(string(o))
	}
}

// factory makes and registers.
type factory struct{ reg prometheus.Registerer }

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

// histogramOpts keeps a native histogram beside the classic buckets: factor 1.1
// is an error of a quantile below 5 %. From microseconds to days it needs more
// buckets than 160; where it would pass them the histogram starts over at the
// most once an hour and is made coarser until then, so its memory is bounded.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}
