package service_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/passfort/sandbox"
	"verdict/test/watch"
)

// An hour of the rules is two minutes here: each of their windows and waits is
// this many times shorter. The dashboard's rates look back for rateWindow.
const (
	faster     = 30
	rateWindow = "5s"
)

// TestAPrometheusThatWatchedEveryStateAnswersEveryExpression is about the files
// for those who watch: it makes every state happen that they tell of, on real
// sockets and a real clock, under a real Prometheus, which VERDICT_TEST_PROMETHEUS
// names. What the expressions refer to is checked in test/watch, without one.
//
// With VERDICT_TEST_PANELS=FILE it leaves the panels' data there, to be drawn.
func TestAPrometheusThatWatchedEveryStateAnswersEveryExpression(t *testing.T) {
	binary := os.Getenv("VERDICT_TEST_PROMETHEUS")
	if binary == "" {
		t.Skip("VERDICT_TEST_PROMETHEUS names no Prometheus (make test-prometheus does)")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	classic := startPrometheus(t, binary, s, fastRules(t, root))
	native := startPrometheus(t, binary, s, "", "--enable-feature=native-histograms")

	classic.await("count(up) == 2") // it begins to scrape seconds after it is ready
	native.await("count(up) == 2")

	s.play(classic)

	expressions, err := watch.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		if e.Alert != "" {
			if !classic.has(fmt.Sprintf("last_over_time(ALERTS{alertname=%q}[10m])", e.Alert)) {
				t.Errorf("%s never was pending", e.Where)
			}
			continue
		}
		if !classic.had(e.Resolved(rateWindow)) {
			t.Errorf("%s gave nothing at any time:\n%s", e.Where, e.Expr)
		}
		if e.Record != "" && !classic.had(e.Record) {
			t.Errorf("%s recorded nothing", e.Where)
		}
	}
	for _, name := range []string{"decision_duration", "api_request_duration", "rate_limit_wait", "publish_duration"} {
		if e := fmt.Sprintf("histogram_quantile(0.95, sum(rate(verdict_%s_seconds[10s])))", name); !native.had(e) {
			t.Errorf("a Prometheus that scrapes native histograms has nothing for %s", e)
		}
	}
	if file := os.Getenv("VERDICT_TEST_PANELS"); file != "" {
		classic.writePanels(file, root)
	}
}

// play makes the states happen, one after the other, and sees to it that
// Prometheus notices each.
func (s *stage) play(prom *promServer) {
	t := s.t
	alert := func(name string) {
		t.Helper()
		began := time.Now()
		prom.await(fmt.Sprintf("ALERTS{alertname=%q}", name))
		t.Logf("%5.1fs %s (%.1fs)", time.Since(s.began).Seconds(), name, time.Since(began).Seconds())
	}

	// Nothing answers: first there is lag without commits, then the breaker opens.
	s.faults(func(sandbox.Call) sandbox.Fault { return sandbox.Fault{Do: sandbox.Hang} })
	s.send(200, time.Now(), 0)
	stop := s.start(0)
	alert("VerdictNoCommits")
	alert("VerdictPausedForOutage")

	// A backlog, some of it no decision, which needs no call to be dead-lettered.
	s.send(3000, time.Now().Add(-2*time.Hour), 10)
	alert("VerdictDeadLetterShareHigh")

	// It serves again, with some trouble. More comes in than the rate allows.
	s.faults(func(c sandbox.Call) sandbox.Fault {
		switch n := s.calls.Add(1); {
		case n%23 == 0:
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
		case n%29 == 0:
			return sandbox.Fault{Do: sandbox.Cut, Act: true}
		case n%31 == 0:
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusNotFound}
		}
		return sandbox.Fault{}
	})
	stopSending := s.keepSending(100)
	prom.await(`sum(rate(verdict_api_requests_total{code="200"}[5s])) > 0`)
	alert("VerdictBacklogOverTarget")
	alert("VerdictRateLimitSaturated")
	alert("VerdictLagGrowing")
	stopSending()

	// The API asks to wait.
	s.faults(func(sandbox.Call) sandbox.Fault {
		if s.calls.Add(1)%5 != 0 {
			return sandbox.Fault{}
		}
		return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}
	})
	prom.await(`verdict_paused{cause="throttled"} == 1`)
	alert("VerdictThrottled")

	// The key is refused, by whoami too.
	s.faults(func(sandbox.Call) sandbox.Fault {
		return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusUnauthorized}
	})
	alert("VerdictPausedForAuth")
	prom.await(`avg_over_time(verdict_paused{cause="auth"}[2s]) == 1`)
	prom.await(`verdict_ready == 0 and on (instance) verdict_partitions_assigned > 0`)
	s.faults(nil)
	prom.await(`verdict_paused{cause="auth"} == 0`)

	// Kafka takes no results.
	fault := s.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: s.cfg.Kafka.Topics.Results, Code: int(kafka.NotEnoughReplicas)})
	alert("VerdictPausedForKafka")
	prom.await(`avg_over_time(verdict_paused{cause="kafka"}[2s]) == 1`)
	fault.Lift()
	prom.await(`verdict_paused{cause="kafka"} == 0`)

	// Another member comes and goes.
	generations := func() float64 { return s.metric(0, "verdict_rebalances_total") }
	for generations() < 13 {
		stopOther := s.start(1)
		s.until("the other member has partitions", func() bool { return s.metric(1, "verdict_partitions_assigned") > 0 })
		before := generations()
		stopOther()
		s.until("the group has one member less", func() bool { return generations() > before })
	}
	alert("VerdictRebalancingTooOften")
	prom.await(`sum by (operation) (verdict_api_requests_total{operation="get_task"}) > 0`)

	stop()
	alert("VerdictNoInstanceUp")
}
