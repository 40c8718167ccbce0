package service_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

func TestRefusedKeyPausesUntilTheFileHasAGoodOne(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "key")
		write := func(key string) {
			if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(apiKey)
		w.cfg.API.Key, w.cfg.API.KeyFile = configs.Secret{}, file
		w.cfg.API.RateLimit, w.cfg.Processor.MaxAttempts = 50, 1
		records := passes(w.cfg.Kafka.Topics.Decisions, 1500)
		w.send(records...)
		m := w.start()
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 200 })
		w.api.SetKey("another")
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedAuth) })
		time.Sleep(time.Second)
		before := len(w.allCalls())
		time.Sleep(10 * time.Minute)
		if probes := len(w.allCalls()) - before; probes < 5 || probes > 60 {
			t.Errorf("%d calls in ten minutes with a refused key, want a probe now and then", probes)
		}
		write("another")
		w.awaitAll(10 * time.Minute)
		if m.paused(decision.PausedAuth) {
			t.Error("still paused")
		}
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		w.checkRate(50, 10)
	})
}

// TestOutageOfTenMinutesDeadLettersNothing fails the API in the middle of a
// backlog; the first one is larger than what the service holds in memory.
func TestOutageOfTenMinutesDeadLettersNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"503": answer(503, ""), "cut": {Do: sandbox.Cut}, "no answer": {Do: sandbox.Hang}, "500": answer(500, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit, w.cfg.API.Timeout = 400, 10*time.Second
				n := 2000
				if name == "503" && !fixture.RaceEnabled() { // too slow under the race detector
					n = 4 * w.cfg.Processor.MaxPending
				}
				records := passes(w.cfg.Kafka.Topics.Backfill, n)
				w.send(records...)
				m := w.start()
				w.await(10*time.Minute, "a quarter is done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > n/4 })
				w.setFaults(func(sandbox.Call) sandbox.Fault { return fault })
				w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
				time.Sleep(30 * time.Second)
				before := len(w.allCalls())
				time.Sleep(10 * time.Minute)
				if probes := len(w.allCalls()) - before; probes < 20 || probes > 130 {
					t.Errorf("%d calls in ten minutes of an outage, want one every few seconds", probes)
				}
				w.setFaults(nil)
				w.awaitAll(30 * time.Minute)
				if m.paused(decision.PausedOutage) {
					t.Error("still paused")
				}
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

func TestRetryBlocksOnlyItsTaskAndSurvivesARestart(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.Processor.Workers, w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 2, 6, 0
		bad := task(1, 0)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == bad.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, bad, decision.CompletedPass), decisionOn(w.cfg.Kafka.Topics.Decisions, bad, decision.CompletedFail))
		m := w.start()
		w.await(time.Minute, "three attempts", func() bool { return m.metric("verdict_retries_total", "cause", "server_error") >= 3 })
		m.stop()
		m = w.start()
		var records []outgoing
		for i := range 300 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
		}
		began := time.Now()
		w.send(records...)
		w.await(10*time.Second, "the others are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 300 })
		t.Logf("300 calls of 5ms by 2 workers beside a retry took %v", time.Since(began))
		w.awaitAllBusy(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		n := 0
		for _, c := range w.completions() {
			if c.TaskID == bad.TaskID {
				n++
			}
		}
		counted := 0
		for _, l := range w.deadLetters() {
			counted += l.Attempts
		}
		if n != counted || n < 12 || n > 24 { // an attempt may be made while no other is carried out
			t.Errorf("%d calls, %d counted, for two decisions with at least six attempts each", n, counted)
		}
	})
}

// pauses begin and end a pause of each cause.
var pauses = map[decision.PauseCause]struct {
	begin, end func(w *world)
}{
	decision.PausedAuth: {
		func(w *world) { w.api.SetKey("another") },
		func(w *world) { w.api.SetKey(apiKey) },
	},
	decision.PausedOutage: {
		func(w *world) { w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(503, "") }) },
		func(w *world) { w.setFaults(nil) },
	},
	decision.PausedThrottled: {
		func(w *world) {
			w.setFaults(func(sandbox.Call) sandbox.Fault {
				return sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"Retry-After": {"10"}}}
			})
		},
		func(w *world) { w.setFaults(nil) },
	},
	decision.PausedKafka: {
		func(w *world) { w.network.Cut(w.kafka.Addrs()...) },
		func(w *world) { w.network.Mend(w.kafka.Addrs()...) },
	},
}

func TestPauseShowsInTheMetricAndOnceInTheLog(t *testing.T) {
	t.Parallel()
	for cause, c := range pauses {
		t.Run(string(cause), func(t *testing.T) {
			t.Parallel()
			inWorld(t, steadyAPI, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 100
				m := w.start()
				w.send(passes(w.cfg.Kafka.Topics.Decisions, 1000)...)
				w.await(time.Minute, "it works", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 200 })
				if n := m.metric("verdict_paused"); n != 0 {
					t.Errorf("%v causes of a pause before it begins", n)
				}
				c.begin(w)
				w.await(time.Second, "the metric shows the pause", func() bool { return m.paused(cause) })
				if n := m.metric("verdict_paused"); n != 1 {
					t.Errorf("%v causes of a pause, want one", n)
				}
				time.Sleep(3 * time.Minute)
				if !m.paused(cause) {
					t.Error("the metric does not show the pause any more")
				}
				if lines := w.logLines("pause=" + string(cause)); len(lines) != 1 || cause == decision.PausedOutage && !strings.Contains(lines[0], "err=") {
					t.Errorf("%d log lines at the beginning, want one:\n%s", len(lines), lines)
				}
				c.end(w)
				w.await(5*time.Minute, "every decision is settled and the pause is over", func() bool {
					return w.count(w.cfg.Kafka.Topics.Results) >= len(w.submitted) && m.metric("verdict_consumer_lag") == 0 && m.metric("verdict_paused") == 0
				})
				if lines := w.logLines("pause=" + string(cause)); len(lines) != 2 {
					t.Errorf("%d log lines in all, want two:\n%s", len(lines), lines)
				}
				m.stop()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}
