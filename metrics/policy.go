package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// What stands in the label result, or in effect, for a record that is no check
// result.
const (
	PolicyUnreadable   = "unreadable"    // it can't be read as one
	PolicyOtherEvent   = "other_event"   // it is the webhook of another event
	PolicyDeadLettered = "dead_lettered" // the effect of what is unreadable
)

// Policy is the metrics of decisions made from check results, which `verdict
// decide` has beside Metrics.
type Policy struct {
	Results   *prometheus.CounterVec // result, effect
	Decisions *prometheus.CounterVec // state
	Tasks     prometheus.Gauge
}

// NewPolicy makes the metrics and registers them, every series at 0.
func NewPolicy(reg prometheus.Registerer) *Policy {
	f := factory{reg}
	p := &Policy{
		Results: f.counters("policy_results_total",
			"Check results that were settled, one for each task that they are about, by what the check came to and by what that did.", "result", "effect"),
		Decisions: f.counters("policy_decisions_total",
			"Decisions that a policy made and Kafka has acknowledged, by the state that they ask for.", "state"),
		Tasks: f.gauge("policy_tasks",
			"Tasks whose counts this instance holds in memory now."),
	}
	for _, r := range decision.CheckResults {
		for _, e := range decision.CheckEffects {
			p.Results.WithLabelValues(string(r), string(e))
		}
	}
	p.Results.WithLabelValues(PolicyUnreadable, PolicyDeadLettered)
	p.Results.WithLabelValues(PolicyOtherEvent, string(decision.EffectIgnored))
	p.Decisions.WithLabelValues(string(decision.CompletedPass))
	p.Decisions.WithLabelValues(string(decision.CompletedFail))
	return p
}
