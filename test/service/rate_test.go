package service_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// TestTooManyRequestsHoldsEveryCall also shows that a 429 costs no attempt: with
// one attempt a decision, nothing is dead-lettered.
func TestTooManyRequestsHoldsEveryCall(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.MaxAttempts = 100, 1
		records := passes(w.cfg.Kafka.Topics.Decisions, 2000)
		w.send(records...)
		var refused atomic.Int64
		var holdFrom atomic.Int64
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Number > 300 && refused.Add(1) <= 3 {
				holdFrom.CompareAndSwap(0, time.Now().UnixNano())
				return sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"X-Ratelimit-Retry-Secs": {"30"}}}
			}
			return sandbox.Fault{}
		})
		m := w.start()
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedThrottled) })
		if limit := m.metric("verdict_rate_limit"); limit >= 96 {
			t.Errorf("the rate after a 429 is %v, want less than the 100 that it was", limit)
		}
		w.awaitAll(10 * time.Minute)
		if m.paused(decision.PausedThrottled) {
			t.Error("still paused")
		}
		time.Sleep(5 * time.Minute)
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(9999, 9999), decision.CompletedPass))
		w.awaitAll(time.Minute)
		if limit := m.metric("verdict_rate_limit"); limit < 100 {
			t.Errorf("five minutes later the rate is %v, want 100 again", limit)
		}
		m.stop()
		w.checkSettledOnce()
		from := time.Unix(0, holdFrom.Load())
		for _, c := range w.allCalls() {
			if after := c.Time.Sub(from); after > 100*time.Millisecond && after < 30*time.Second {
				t.Fatalf("a call %v after a 429 that asked to wait for 30s", after)
			}
		}
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestRateHeadersSlowCallsBeforeA429(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond, RateLimit: 50, Burst: 100}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 1000 // far more than the API allows
		records := passes(w.cfg.Kafka.Topics.Decisions, 3000)
		w.send(records...)
		m := w.start()
		began := time.Now()
		w.awaitAll(10 * time.Minute)
		took := time.Since(began)
		refused := m.metric("verdict_api_requests_total", "code", "429")
		m.stop()
		w.checkSettledOnce()
		if refused > 30 {
			t.Errorf("%v calls were answered 429", refused)
		}
		if took > 90*time.Second { // 60s at the API's limit
			t.Errorf("3000 calls took %v with an API that allows 50 a second", took)
		}
	})
}

func TestHostileRateHeaderDoesNotStopTheService(t *testing.T) {
	t.Parallel()
	for _, h := range []http.Header{
		{"X-Ratelimit-Retry-Secs": {"1e300"}}, {"X-Ratelimit-Retry-Secs": {"-5"}}, {"X-Ratelimit-Retry-Secs": {"NaN"}},
		{"Retry-After": {"Fri, 31 Dec 9999 23:59:59 GMT"}}, {"Retry-After": {"soon"}}, {},
	} {
		t.Run(fmt.Sprint(h), func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.Number <= 3 {
						return sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: h}
					}
					return sandbox.Fault{}
				})
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
				m := w.start()
				w.awaitAll(20 * time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != "completed" {
						t.Errorf("outcome %s", outcome)
					}
				}
			})
		})
	}
}

func TestRateLimitIsUsedAndNeverExceeded(t *testing.T) {
	t.Parallel()
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprint(members, " members"), func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 30 * time.Millisecond, Jitter: 40 * time.Millisecond, ErrorRate: 0.02}, func(t *testing.T, w *world) {
				const rate, burst, n = 100, 10, 4000
				w.cfg.API.RateLimit, w.cfg.API.Burst = rate, burst
				var records []outgoing
				for i := range n {
					topic := w.cfg.Kafka.Topics.Decisions
					if i%2 == 0 {
						topic = w.cfg.Kafka.Topics.Backfill
					}
					records = append(records, decisionOn(topic, task(i, i), decision.CompletedPass))
				}
				w.send(records...)
				var all []*member
				for range members {
					all = append(all, w.start())
				}
				w.await(time.Minute, "every member owns partitions", func() bool {
					sum := 0.0
					for _, m := range all {
						owned := m.metric("verdict_partitions_assigned")
						if owned == 0 {
							return false
						}
						sum += owned
					}
					return sum == 2*partitions
				})
				began, before := time.Now(), len(w.allCalls())
				time.Sleep(20 * time.Second)
				used := float64(len(w.allCalls())-before) / time.Since(began).Seconds() / rate
				t.Logf("%d members use %.2f%% of the rate", members, 100*used)
				if used < 0.99 {
					t.Errorf("only %.2f%% of the rate is used", 100*used)
				}
				w.awaitAll(5 * time.Minute)
				for _, m := range all {
					m.stop()
				}
				w.checkSettledOnce()
				w.checkCommitted()
				w.checkRate(rate, burst)
			})
		})
	}
}
