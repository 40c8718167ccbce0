package metrics

import "github.com/prometheus/client_golang/prometheus"

// Observe records a value with its trace as the exemplar. traceparent has the form of
// decision.Traceparent. If it is empty or not sampled, the value gets no exemplar.
func Observe(o prometheus.Observer, value float64, traceparent string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && sampled(traceparent) {
		e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": traceparent[3:35]})
		return
	}
	o.Observe(value)
}

// sampled reports whether the lowest bit of the flags, at the end of a traceparent, is
// set.
func sampled(traceparent string) bool {
	if len(traceparent) != 55 {
		return false
	}
	switch traceparent[54] {
	case '1', '3', '5', '7', '9', 'b', 'd', 'f':
		return true
	}
	return false
}
