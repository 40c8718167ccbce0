package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/decision"
)

// Values of the labels result and effect for records that are not check results.
const (
	PolicyUnreadable   = "unreadable"    // result of a record that cannot be decoded
	PolicyOtherEvent   = "other_event"   // result of a webhook for another event
	PolicyDeadLettered = "dead_lettered" // effect of an unreadable record
)

// Policy are the metrics that `verdict decide` has in addition to Metrics.
type Policy struct {
	Results   *prometheus.CounterVec // result, effect
	Decisions *prometheus.CounterVec // state
	Tasks     prometheus.Gauge
}

// NewPolicy returns metrics registered with reg, every series at 0.
func NewPolicy(reg prometheus.Registerer) *Policy {
	f := factory{reg}
	p := &Policy{
		Results: f.counters("policy_results_total",
			"Check results settled, counted once for each task that they concern, by the result of the check and its effect.", "result", "effect"),
		Decisions: f.counters("policy_decisions_total",
			"Decisions that a policy made and Kafka acknowledged, by the state that they ask for.", "state"),
		Tasks: f.gauge("policy_tasks",
			"Tasks whose counts this instance holds in memory."),
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
