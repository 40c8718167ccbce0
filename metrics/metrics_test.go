package metrics_test

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/metrics"
)

// exposition returns the text of a scrape of reg.
func exposition(t *testing.T, reg prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.NewAdmin(metrics.AdminOptions{Gatherer: reg}).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("GET /metrics: %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestPromlintAcceptsAllMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg)
	metrics.RegisterProcess(reg, metrics.Build{Version: "v1.0.0", Revision: "abc", GoVersion: "go1.26"})
	m.APIRequests.WithLabelValues(string(passfort.OpComplete), "200").Inc()
	metrics.RegisterReady(reg, func() bool { return true })
	m.ConsumerLag.WithLabelValues("task-decisions", "0").Set(3)
	m.TopicInfo.WithLabelValues("task-decisions", "live").Set(1)
	m.RecordsLost.WithLabelValues("task-decisions").Inc()
	m.PublishDuration.WithLabelValues("task-results").Observe(time.Millisecond.Seconds())
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNewCreatesEveryClosedSeriesAtZero(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	metrics.New(reg)
	var want []string
	add := func(format string, a ...any) { want = append(want, fmt.Sprintf(format, a...)) }
	for _, lane := range decision.Lanes {
		for _, o := range decision.Outcomes {
			add("verdict_decisions_total{lane=%q,outcome=%q} 0", lane, o)
		}
		for _, r := range decision.Reasons {
			add("verdict_dead_letters_total{lane=%q,reason=%q} 0", lane, r)
		}
		add("verdict_decision_duration_seconds_count{lane=%q} 0", lane)
		add("verdict_pending{lane=%q} 0", lane)
		add("verdict_oldest_unsettled_timestamp_seconds{lane=%q} 0", lane)
		add("verdict_backlog{lane=%q} 0", lane)
		for _, c := range []string{"outage", "refused", "held", "ledger"} {
			add("verdict_lane_paused{cause=%q,lane=%q} 0", c, lane)
		}
	}
	for _, op := range []string{"complete", "get_task", "list_tasks", "whoami"} {
		add("verdict_api_request_duration_seconds_count{operation=%q} 0", op)
	}
	for _, c := range decision.RetryCauses {
		add("verdict_retries_total{cause=%q} 0", c)
	}
	for _, c := range decision.PauseCauses {
		add("verdict_paused{cause=%q} 0", c)
	}
	add(`verdict_commits_total{outcome="ok"} 0`)
	add(`verdict_commits_total{outcome="error"} 0`)
	add("verdict_in_flight 0")
	add("verdict_rate_limit 0")
	add("verdict_rate_limit_wait_seconds_count 0")
	add("verdict_partitions_assigned 0")
	add("verdict_rebalances_total 0")

	got := make(map[string]bool)
	for line := range strings.Lines(exposition(t, reg)) {
		got[strings.TrimSuffix(line, "\n")] = true
	}
	for _, line := range want {
		if !got[line] {
			t.Errorf("missing in the exposition: %s", line)
		}
	}
}

func TestRegisterProcessAddsBuildAndRuntime(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	metrics.RegisterProcess(reg, metrics.Build{Version: "v1.2.3", Revision: "abc", GoVersion: "go1.26"})
	text := exposition(t, reg)
	for _, want := range []string{
		`verdict_build_info{goversion="go1.26",revision="abc",version="v1.2.3"} 1`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing in the exposition: %s", want)
		}
	}
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg)
	m.RateLimitWait.Observe(0.3)
	m.RateLimit.Set(math.Inf(1))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "verdict_rate_limit_wait_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if len(h.GetBucket()) == 0 || len(h.GetPositiveSpan()) == 0 {
			t.Errorf("histogram has %d classic buckets, %d native spans", len(h.GetBucket()), len(h.GetPositiveSpan()))
		}
		return
	}
	t.Fatal("verdict_rate_limit_wait_seconds is missing")
}
