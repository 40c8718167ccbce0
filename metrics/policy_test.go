package metrics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/internal/decision"
	"verdict/metrics"
)

func TestNewPolicyCreatesEverySeriesAtZero(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	metrics.NewPolicy(reg)
	text := exposition(t, reg)
	want := []string{
		`verdict_policy_results_total{effect="dead_lettered",result="unreadable"} 0`,
		`verdict_policy_results_total{effect="ignored",result="other_event"} 0`,
		`verdict_policy_decisions_total{state="COMPLETED_PASS"} 0`,
		`verdict_policy_decisions_total{state="COMPLETED_FAIL"} 0`,
		`verdict_policy_tasks 0`,
	}
	for _, r := range decision.CheckResults {
		for _, e := range decision.CheckEffects {
			want = append(want, fmt.Sprintf("verdict_policy_results_total{effect=%q,result=%q} 0", e, r))
		}
	}
	for _, line := range want {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing in the exposition: %s", line)
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// decide registers both. Registering a name twice panics.
func TestPolicyMetricsDoNotCollide(*testing.T) {
	reg := prometheus.NewPedanticRegistry()
	metrics.New(reg)
	metrics.NewPolicy(reg) // panics where a name is taken
}
