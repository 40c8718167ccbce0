package metrics

import "github.com/prometheus/client_golang/prometheus"

// Observe notes a value, with the trace that it belongs to as its exemplar.
// traceparent is of the form of decision.Traceparent; one that is empty, or whose
// trace nobody records, leaves the value without.
func Observe(o prometheus.Observer, value float64, traceparent string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && sampled(traceparent) {
		e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": traceparent[3:35]})
		return
	}
	o.Observe(value)
}

// sampled says whether the lowest bit of the flags is set, which end a
// traceparent.
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
