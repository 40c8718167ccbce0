package service_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestMetricSeriesAreBounded(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		// Every status that fits into three digits, with headers that might become
		// labels, and good answers in between so that there is no outage.
		var calls, answered atomic.Int64
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpWhoAmI || calls.Add(1)%3 != 0 {
				return sandbox.Fault{}
			}
			status := int(200 + answered.Add(1) - 1)
			if status == http.StatusTooManyRequests || status > 999 {
				return sandbox.Fault{} // a 429 would hold every call for a while
			}
			return sandbox.Fault{
				Do: sandbox.Answer, Status: status, Body: `{"errors":[{"message":"mallory"}]}`,
				Header: http.Header{"X-Request-Id": {"mallory"}, "Server": {"mallory"}},
			}
		})
		m := w.start()
		w.send(mallorys(w.cfg.Kafka.Topics, 1, 2700)...)
		w.awaitAll(3 * time.Hour)
		if n := answered.Load(); n < 800 {
			t.Fatalf("only %d statuses were answered", n)
		}
		before := m.series()
		total := 0
		for name, all := range before {
			total += len(all)
			for _, labels := range all {
				if strings.Contains(labels, "mallory") {
					t.Errorf("%s has a label from the input: %s", name, labels)
				}
			}
		}
		// Statuses 200 to 599, timeout and error, for each operation. Every other set
		// of labels is closed.
		if got := len(before["verdict_api_requests_total"]); got < 300 || got > 4*402 {
			t.Errorf("%d series of verdict_api_requests_total", got)
		}
		if rest := total - len(before["verdict_api_requests_total"]); rest > 120 {
			t.Errorf("%d series besides verdict_api_requests_total: %v", rest, before)
		}
		if got := len(before["verdict_consumer_lag"]); got != 2*partitions {
			t.Errorf("%d series of verdict_consumer_lag for %d partitions", got, 2*partitions)
		}

		// Other values add no series.
		w.send(mallorys(w.cfg.Kafka.Topics, 2, 500)...)
		w.awaitAll(3 * time.Hour)
		after := m.series()
		for name, all := range after {
			if name != "verdict_api_requests_total" && len(all) != len(before[name]) {
				t.Errorf("%s went from %d series to %d", name, len(before[name]), len(all))
			}
		}
		m.stop()
		if got := len(m.series()["verdict_consumer_lag"]); got != 0 {
			t.Errorf("%d series of verdict_consumer_lag remain for partitions that are no longer owned", got)
		}
	})
}

// mallorys returns n records, half of them for each lane and some of them broken, with
// text in every place that might become a label.
func mallorys(topics configs.Topics, round, n int) (records []outgoing) {
	for i := range n {
		topic := topics.Decisions
		if i%2 == 0 {
			topic = topics.Backfill
		}
		r := decisionOn(topic, task(round*10000+i, round*10000+i), decision.CompletedPass,
			fmt.Sprintf(`"id":"mallory-%d-%d"`, round, i), fmt.Sprintf(`"source":"mallory-%d-%d"`, round, i),
			fmt.Sprintf(`"batch_id":"mallory-%d-%d"`, round, i))
		if i%10 == 0 {
			r.value = fmt.Sprintf(`{"mallory-%d":`, i)
		}
		r.key = fmt.Sprint("mallory", round, i)
		records = append(records, r)
	}
	return records
}

func TestOldestUnsettledIsTheWaitingDecision(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		const name = "verdict_oldest_unsettled_timestamp_seconds"
		stuck := task(1, 1)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == stuck.TaskID {
				return sandbox.Fault{Do: sandbox.Answer, Status: 503}
			}
			return sandbox.Fault{}
		})
		m := w.start(func(c *configs.Config) { c.Processor.MaxAttempts = 1000 })
		w.await(time.Minute, "ready", func() bool { return m.metric("verdict_ready") == 1 })
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, stuck, decision.CompletedPass))
		since := float64(time.Now().UnixMilli()) / 1000
		for i := range 50 {
			time.Sleep(time.Second)
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(2+i, 2+i), decision.CompletedPass))
		}
		w.await(time.Minute, "the others are settled", func() bool { return m.metric("verdict_decisions_total") == 50 })
		if got := m.metric(name, "lane", "live"); got != since {
			t.Errorf("the oldest in the live lane is from %f, want %f", got, since)
		}
		if got := m.metric(name, "lane", "backfill"); got != 0 {
			t.Errorf("the oldest in the empty lane is from %f, want 0", got)
		}
		w.setFaults(nil)
		w.awaitAll(5 * time.Minute)
		if got := m.metric(name); got != 0 {
			t.Errorf("with everything settled the oldest is from %f, want 0", got)
		}
		m.stop()
		if got := m.metric("verdict_ready"); got != 0 {
			t.Errorf("ready after the stop: %v", got)
		}
	})
}
