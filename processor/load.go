package processor

import (
	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// load counts, per lane, what is under way.
type load struct {
	gauge    prometheus.Gauge         // of inFlight, over all lanes
	inFlight [len(decision.Lanes)]int // assignments that a worker has
	settling [len(decision.Lanes)]int // decisions whose record is being published, or about to be
}

// occupy counts a worker of a lane as busy.
func (l *load) occupy(lane decision.Lane) {
	l.inFlight[lane]++
	l.gauge.Inc()
}

// free counts the worker as free again.
func (l *load) free(lane decision.Lane) {
	l.inFlight[lane]--
	l.gauge.Dec()
}

// startWork notes that a worker has the job.
func (l *load) startWork(j *job) {
	j.working, j.shown = true, j.Attempts
	l.occupy(j.Lane)
}

// endWork frees the job's worker, if it has one.
func (l *load) endWork(j *job) {
	if j.working {
		j.working = false
		l.free(j.Lane)
	}
}

// startSettling counts the job among those that wait for Kafka, once.
func (l *load) startSettling(j *job) {
	if !j.settling {
		j.settling = true
		l.settling[j.Lane]++
	}
}

// end removes the job from every count.
func (l *load) end(j *job) {
	l.endWork(j)
	if j.settling {
		j.settling = false
		l.settling[j.Lane]--
	}
}

// none reports whether nothing is under way.
func (l *load) none() bool {
	var zero [len(decision.Lanes)]int
	return l.inFlight == zero && l.settling == zero
}
