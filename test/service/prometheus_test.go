package service_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/watch"
)

// Time runs faster than the rules say, so that the test takes two minutes.
const (
	faster     = 30   // every window and wait of a rule is this many times shorter
	rateWindow = "5s" // of the dashboard's rates
)

// TestPrometheusAnswersEveryExpression tests the rules and the dashboard. It brings the
// service into every state that they show, on real sockets and a real clock, while the
// Prometheus that VERDICT_TEST_PROMETHEUS names scrapes it. Package test/watch checks
// without a Prometheus that the expressions name what exists.
//
// With VERDICT_TEST_PANELS=FILE it writes the panels' data to that file, for drawing.
func TestPrometheusAnswersEveryExpression(t *testing.T) {
	binary := os.Getenv("VERDICT_TEST_PROMETHEUS")
	if binary == "" {
		t.Skip("needs Prometheus: make test-prometheus")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	classic := startPrometheus(t, binary, s, fastRules(t, root))
	native := startPrometheus(t, binary, s, "", "--enable-feature=native-histograms")

	classic.await("count(up) == 2") // the first scrape comes seconds after it is ready
	native.await("count(up) == 2")

	s.play(classic)

	expressions, err := watch.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		if e.Alert != "" {
			if !classic.has(fmt.Sprintf("last_over_time(ALERTS{alertname=%q}[10m])", e.Alert)) {
				t.Errorf("%s was never pending", e.Where)
			}
			continue
		}
		if !classic.had(e.Resolved(rateWindow)) {
			t.Errorf("%s had no value at any time:\n%s", e.Where, e.Expr)
		}
		if e.Record != "" && !classic.had(e.Record) {
			t.Errorf("%s recorded no value", e.Where)
		}
	}
	for _, name := range []string{"decision_duration", "api_request_duration", "rate_limit_wait", "publish_duration"} {
		if e := fmt.Sprintf("histogram_quantile(0.95, sum(rate(verdict_%s_seconds[10s])))", name); !native.had(e) {
			t.Errorf("a Prometheus that scrapes native histograms has no value for %s", e)
		}
	}
	if file := os.Getenv("VERDICT_TEST_PANELS"); file != "" {
		classic.writePanels(file, root)
	}
}

// play brings the service into every state, one after the other, and waits each time
// until Prometheus has seen it.
func (s *stage) play(prom *promServer) {
	stop := s.playOutage(prom)
	s.playBacklog(prom)
	s.playRefusals(prom)
	s.playKafka(prom)
	s.playLedger(prom)
	s.playWrongBatch(prom)
	stop()
	s.alert(prom, "VerdictNoInstanceUp")
}

// alert waits until an alert is pending or fires.
func (s *stage) alert(prom *promServer, name string) {
	s.t.Helper()
	began := time.Now()
	prom.await(fmt.Sprintf("ALERTS{alertname=%q}", name))
	s.t.Logf("%5.1fs %s (%.1fs)", time.Since(s.began).Seconds(), name, time.Since(began).Seconds())
}

// playOutage starts a service whose commits Kafka refuses, and then stops the API from
// answering. It returns the service's stop.
func (s *stage) playOutage(prom *promServer) (stop func()) {
	refused := s.kafka.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupLoadInProgress)})
	s.send(200, time.Now(), 0)
	stop = s.start(0)
	s.alert(prom, "VerdictNoCommits")
	refused.Lift()
	s.setFaults(func(sandbox.Call) sandbox.Fault { return sandbox.Fault{Do: sandbox.Hang} })
	s.alert(prom, "VerdictPausedForOutage")
	// Broken records need no call to be dead-lettered.
	s.send(3000, time.Now().Add(-2*time.Hour), 10)
	s.alert(prom, "VerdictDeadLetterShareHigh")
	return stop
}

// playBacklog has the API answer again, with a few failures, while more decisions come
// than the rate allows.
func (s *stage) playBacklog(prom *promServer) {
	s.setFaults(func(sandbox.Call) sandbox.Fault {
		switch n := s.calls.Add(1); {
		case n%23 == 0:
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
		case n%29 == 0:
			return sandbox.Fault{Do: sandbox.Cut, Act: true}
		case n%31 == 0:
			return sandbox.Refusal(http.StatusNotFound)
		}
		return sandbox.Fault{}
	})
	stopSending := s.keepSending(100)
	prom.await(`sum(rate(verdict_api_requests_total{code="200"}[5s])) > 0`)
	s.alert(prom, "VerdictBacklogOverTarget")
	s.alert(prom, "VerdictRateLimitSaturated")
	s.alert(prom, "VerdictLagGrowing")
	stopSending()
}

// playRefusals has the API throttle calls, and then refuse the key.
func (s *stage) playRefusals(prom *promServer) {
	s.setFaults(func(sandbox.Call) sandbox.Fault {
		if s.calls.Add(1)%5 != 0 {
			return sandbox.Fault{}
		}
		return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}
	})
	prom.await(`verdict_paused{cause="throttled"} == 1`)
	s.alert(prom, "VerdictThrottled")

	s.setFaults(func(sandbox.Call) sandbox.Fault {
		return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusUnauthorized} // whoami as well
	})
	s.alert(prom, "VerdictPausedForAuth")
	prom.await(`avg_over_time(verdict_paused{cause="auth"}[2s]) == 1`)
	prom.await(`verdict_ready == 0 and on (instance) verdict_partitions_assigned > 0`)
	s.setFaults(nil)
	prom.await(`verdict_paused{cause="auth"} == 0`)
}

// playLedger has somebody use the ledger, and then it is deleted and made again.
func (s *stage) playLedger(prom *promServer) {
	s.hold()
	s.until("the instance is in the ledger", func() bool { return s.kafka.HighWatermark(s.cfg.Kafka.Topics.Control, 0) > 2 })
	if err := s.kafka.DeleteTopic(s.cfg.Kafka.Topics.Control); err != nil {
		s.t.Fatal(err)
	}
	s.alert(prom, "VerdictLedgerLost")
	s.hold()
	prom.await(`verdict_lane_paused{cause="ledger"} == 0`)
}

// hold holds a task that nobody sends, on a connection that has not seen the topic before.
func (s *stage) hold() {
	s.t.Helper()
	connection, err := broker.NewConnection(broker.Options{Brokers: s.kafka.Addrs()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer connection.Close()
	o := store.Options{
		Connection: connection, Control: s.cfg.Kafka.Topics.Control, Audit: s.cfg.Kafka.Topics.Audit, Group: s.cfg.Kafka.GroupID,
		Author: ledger.Author{Actor: "ops", Run: "hold"},
	}
	key := ledger.HoldTask(task(0xffff, 0xffff))
	w, err := store.Open(s.t.Context(), o, key)
	if err == nil {
		_, err = w.Write(s.t.Context(), store.Change{
			Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Hold: &ledger.Hold{Held: true}}}}, Acts: []ledger.Act{{Key: key.In(o.Group)}},
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// playWrongBatch has the API know none of the tasks that it is asked for.
func (s *stage) playWrongBatch(prom *promServer) {
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if c.Operation == passfort.OpWhoAmI {
			return sandbox.Fault{}
		}
		return sandbox.Refusal(http.StatusNotFound)
	})
	s.send(200, time.Now(), 0)
	s.alert(prom, "VerdictLaneRefused")
}

// playKafka has Kafka refuse results, and then another member come and go.
func (s *stage) playKafka(prom *promServer) {
	fault := s.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: s.cfg.Kafka.Topics.Results, Code: int(kafka.NotEnoughReplicas)})
	s.alert(prom, "VerdictPausedForKafka")
	prom.await(`avg_over_time(verdict_paused{cause="kafka"}[2s]) == 1`)
	fault.Lift()
	prom.await(`verdict_paused{cause="kafka"} == 0`)

	generations := func() float64 { return s.metric(0, "verdict_rebalances_total") }
	for generations() < 13 {
		stopOther := s.start(1)
		s.until("the other member has partitions", func() bool { return s.metric(1, "verdict_partitions_assigned") > 0 })
		before := generations()
		stopOther()
		s.until("the group has one member less", func() bool { return generations() > before })
	}
	s.alert(prom, "VerdictRebalancingTooOften")
	prom.await(`sum by (operation) (verdict_api_requests_total{operation="get_task"}) > 0`)
}
