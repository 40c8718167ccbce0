package service_test

import (
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// wantNoDeadLetters fails the test if there is a dead letter.
func (w *world) wantNoDeadLetters() {
	w.t.Helper()
	for _, d := range w.deadLetters() {
		w.t.Errorf("dead letter %s after %d attempts: %s", d.Reason, d.Attempts, d.Error)
	}
}

// TestLoneDecisionOutlastsAnOutage has one decision come while the API is away for an
// hour.
func TestLoneDecisionOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"503": answer(503, ""), "cut": {Do: sandbox.Cut}, "no answer": {Do: sandbox.Hang}, "a page": answer(404, maintenance),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, steadyAPI, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 1, 0
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				w.setFaults(func(sandbox.Call) sandbox.Fault { return fault })
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass))
				w.await(3*time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
				time.Sleep(time.Hour)
				w.setFaults(nil)
				over := time.Now()
				w.awaitAll(2 * time.Minute)
				t.Logf("done %v after the outage", time.Since(over))
				if m.paused(decision.PausedOutage) {
					t.Error("still paused")
				}
				m.stop()
				w.wantNoDeadLetters()
			})
		})
	}
}

// TestFailingCompletionsBlameNoDecision has completions fail for ten minutes while
// whoami is good, with few decisions and with many.
func TestFailingCompletionsBlameNoDecision(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"503": answer(503, ""), "cut": {Do: sandbox.Cut}, "a page": answer(200, maintenance), "204": answer(204, ""),
	} {
		for _, n := range []int{1, 500} {
			t.Run(fmt.Sprint(name, ", ", n), func(t *testing.T) {
				t.Parallel()
				if fixture.RaceEnabled() {
					n = min(n, 100) // the detector slows a world down tenfold
				}
				inWorld(t, steadyAPI, func(t *testing.T, w *world) {
					w.cfg.API.RateLimit = 50
					w.send(passes(w.cfg.Kafka.Topics.Decisions, n+20)[n:]...)
					m := w.start()
					w.awaitAll(time.Minute)
					w.setFaults(func(c sandbox.Call) sandbox.Fault {
						if c.Operation == passfort.OpComplete {
							return fault
						}
						return sandbox.Fault{}
					})
					w.send(passes(w.cfg.Kafka.Topics.Decisions, n)...)
					time.Sleep(10 * time.Minute)
					w.setFaults(nil)
					over := time.Now()
					w.awaitAll(5 * time.Minute)
					t.Logf("done %v later", time.Since(over))
					m.stop()
					w.wantNoDeadLetters()
					w.checkCommitted()
				})
			})
		}
	}
}

// TestAttemptsInAnOutageBlameNoDecision has one task fail for nine minutes after an outage,
// while others are carried out again: its attempts and the time before say nothing of it.
func TestAttemptsInAnOutageBlameNoDecision(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		slow, n := task(7, 0), 0
		for _, failing := range []struct {
			all bool
			d   time.Duration
		}{{true, 12 * time.Minute}, {false, 9 * time.Minute}} {
			w.setFaults(func(c sandbox.Call) sandbox.Fault {
				if c.Operation == passfort.OpComplete && (failing.all || c.TaskID == slow.TaskID) {
					return answer(503, "")
				}
				return sandbox.Fault{}
			})
			if failing.all {
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass))
				m := w.start()
				defer m.stop()
			}
			for began := time.Now(); time.Since(began) < failing.d; time.Sleep(time.Second) {
				n++
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(100+n, 100+n), decision.CompletedPass))
			}
		}
		w.setFaults(nil)
		w.awaitAll(5 * time.Minute)
		w.wantNoDeadLetters()
	})
}

// TestKeyRefusedAgainBlamesNobody has the key refused, accepted for a single whoami, and
// refused again.
func TestKeyRefusedAgainBlamesNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		refused := func(sandbox.Call) sandbox.Fault { return answer(401, "") }
		w.setFaults(refused)
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 20)...)
		m := w.start()
		for range 5 {
			time.Sleep(time.Minute)
			var named atomic.Bool
			w.setFaults(func(c sandbox.Call) sandbox.Fault {
				if c.Operation == passfort.OpWhoAmI && !named.Swap(true) {
					return sandbox.Fault{}
				}
				return answer(401, "")
			})
			w.await(2*time.Minute, "whoami accepted the key", named.Load)
		}
		w.setFaults(nil)
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.wantNoDeadLetters()
		if n := len(w.logLines("API key is refused")); n < 3 {
			t.Errorf("the key was found to be refused %d times", n)
		}
	})
}

// TestThirdOfCallsFailingBlamesNoDecision fails each call with a chance of three in ten
// for ten minutes.
func TestThirdOfCallsFailingBlamesNoDecision(t *testing.T) {
	t.Parallel()
	rate := 20
	if fixture.RaceEnabled() {
		rate = 4
	}
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = float64(rate)
		var calls atomic.Int64
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			h := fnv.New32a()
			fmt.Fprint(h, calls.Add(1))
			if h.Sum32()%10 < 3 {
				return answer(500, "")
			}
			return sandbox.Fault{}
		})
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 300*rate)...)
		m := w.start()
		time.Sleep(10 * time.Minute)
		if done := w.count(w.cfg.Kafka.Topics.Results); done < 250*rate {
			t.Errorf("%d of %d decisions are done after ten minutes", done, 300*rate)
		}
		w.setFaults(nil)
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.wantNoDeadLetters()
	})
}

// TestPoisonIsBlamedInTime has one decision fail with every answer while others are
// carried out.
func TestPoisonIsBlamedInTime(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.setFaults(poisoned(task(7, 0).ProfileID))
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, 0), decision.CompletedPass))
		m := w.start()
		began := time.Now()
		w.awaitAllBusy(20 * time.Minute)
		took := time.Since(began)
		m.stop()
		letters := w.deadLetters()
		if len(letters) != 1 || letters[0].Reason != decision.RetriesExhausted || letters[0].Attempts < 8 {
			t.Fatalf("dead letters %+v", letters)
		}
		if took < w.cfg.Processor.Patience || took > w.cfg.Processor.Patience+2*time.Minute {
			t.Errorf("dead-lettered after %v", took)
		}
	})
}

// TestLonePoisonIsBlamedAfterAnHour has nothing but one decision that fails.
func TestLonePoisonIsBlamedAfterAnHour(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.setFaults(poisoned(task(7, 0).ProfileID))
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, 0), decision.CompletedPass))
		m := w.start()
		time.Sleep(59 * time.Minute)
		w.wantNoDeadLetters()
		w.awaitAll(5 * time.Minute)
		m.stop()
		if n := len(w.deadLetters()); n != 1 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestRoleTakenAwayHoldsTheLane refuses the key for every task, while whoami accepts it.
func TestRoleTakenAwayHoldsTheLane(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 50
		topic := w.cfg.Kafka.Topics.Decisions
		w.send(passes(topic, 500)...)
		m := w.start()
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 100 })
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpWhoAmI {
				return sandbox.Fault{}
			}
			return answer(403, "")
		})
		held := func() bool { return m.metric("verdict_lane_paused", "lane", "live", "cause", "refused") == 1 }
		w.await(time.Minute, "the lane is held", held)
		before := len(w.completions())
		time.Sleep(30 * time.Minute)
		if probes := len(w.completions()) - before; probes < 55 || probes > 65 {
			t.Errorf("%d calls in half an hour, want one each 30s", probes)
		}
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n < 20 || n > 25 { // those under way at that moment are not counted
			t.Errorf("%d dead letters, want 20 or a few more", n)
		}
		w.setFaults(nil)
		over := time.Now()
		w.awaitAll(2 * time.Minute)
		t.Logf("done %v after the role was back", time.Since(over))
		w.await(time.Second, "the lane goes", func() bool { return !held() })
		if lines := w.logLines("pause=refused"); len(lines) != 2 {
			t.Errorf("%d log lines, want one at the start and one at the end:\n%s", len(lines), lines)
		}
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
	})
}

// TestWrongBatchCostsTwentyDeadLetters has a batch of tasks that do not exist beside a
// good batch and live decisions.
func TestWrongBatchCostsTwentyDeadLetters(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		n := 1000
		if fixture.RaceEnabled() {
			n = 200
		}
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete && c.ProfileID < task(n, 0).ProfileID {
				return sandbox.Refusal(404)
			}
			return sandbox.Fault{}
		})
		for i := range n {
			w.send(decisionOn(w.cfg.Kafka.Topics.Backfill, task(i, i), decision.CompletedPass, `"batch_id":"wrong"`),
				decisionOn(w.cfg.Kafka.Topics.Backfill, task(n+i, n+i), decision.CompletedPass, `"batch_id":"good"`))
			if i%10 == 0 {
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(2*n+i, i), decision.CompletedPass))
			}
		}
		m := w.start()
		w.await(2*time.Minute, "the others are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == n+n/10 })
		time.Sleep(30 * time.Minute)
		if letters := w.count(w.cfg.Kafka.Topics.DeadLetters); letters != 20 {
			t.Errorf("%d dead letters, want 20", letters)
		}
		if got := m.metric("verdict_lane_paused", "lane", "live"); got != 0 {
			t.Errorf("live has %v pauses", got)
		}
		w.setFaults(nil)
		over := time.Now()
		w.awaitAll(2 * time.Minute)
		t.Logf("the held ones were done %v later", time.Since(over))
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
	})
}

// TestRefusedAmongGoodIsBlamedAtTheSecondCall has tasks that do not exist among others.
func TestRefusedAmongGoodIsBlamedAtTheSecondCall(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 50
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.ProfileID == task(7, 0).ProfileID {
				return sandbox.Refusal(404)
			}
			return sandbox.Fault{}
		})
		for i := range 300 {
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1000+i, i), decision.CompletedPass))
			if i%10 == 0 {
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, i), decision.CompletedPass))
			}
		}
		m := w.start()
		w.awaitAll(30 * time.Second)
		m.stop()
		letters := w.deadLetters()
		for _, d := range letters {
			if d.Attempts != 2 || d.Reason != decision.TaskNotFound {
				t.Errorf("dead letter %s after %d attempts", d.Reason, d.Attempts)
			}
		}
		if len(letters) != 30 {
			t.Errorf("%d dead letters, want 30", len(letters))
		}
	})
}

// TestLoneRefusalIsBlamedByTheProbeSetting has nothing but one task that does not exist.
func TestLoneRefusalIsBlamedByTheProbeSetting(t *testing.T) {
	t.Parallel()
	for probe, within := range map[configs.Probe][2]time.Duration{
		configs.ProbeWhoAmI: {time.Second, 5 * time.Second},
		configs.ProbeNone:   {10 * time.Minute, 12 * time.Minute},
	} {
		t.Run(string(probe), func(t *testing.T) {
			t.Parallel()
			inWorld(t, steadyAPI, func(t *testing.T, w *world) {
				w.cfg.API.Probe = probe
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.Operation == passfort.OpWhoAmI && probe == configs.ProbeWhoAmI {
						return sandbox.Fault{}
					}
					return sandbox.Refusal(404)
				})
				m := w.start()
				m.awaitJoined()
				began := time.Now()
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, 0), decision.CompletedPass))
				w.awaitAll(15 * time.Minute)
				if took := time.Since(began); took < within[0] || took > within[1] {
					t.Errorf("dead-lettered after %v, want %v", took, within)
				}
				m.stop()
				if asked := len(w.callsOf(passfort.OpWhoAmI)); (asked > 0) != (probe == configs.ProbeWhoAmI) {
					t.Errorf("whoami was asked %d times", asked)
				}
			})
		})
	}
}

// TestStopWithoutAcknowledgementLooksFirst stops while Kafka takes no results: what is
// done is not done again.
func TestStopWithoutAcknowledgementLooksFirst(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.Processor.ShutdownTimeout = 5 * time.Second
		m := w.start()
		m.awaitJoined()
		fault := w.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: w.cfg.Kafka.Topics.Results, Code: int(kafka.NotEnoughReplicas)})
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 20)...)
		w.await(time.Minute, "every call is made", func() bool { return len(w.completions()) == 20 })
		time.Sleep(time.Second)
		m.cancel()
		_ = m.wait() // it says that results were not acknowledged
		fault.Lift()
		m = w.start()
		w.await(time.Minute, "every decision is settled", func() bool { return m.metric("verdict_consumer_lag") == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 20 })
		m.stop()
		if n := len(w.completions()); n != 20 {
			t.Errorf("%d completing calls for 20 decisions", n)
		}
	})
}

// TestRefusedKeyBlamesNoDecisionThatFailedBefore has decisions fail while others are
// carried out; then the key is refused.
func TestRefusedKeyBlamesNoDecisionThatFailedBefore(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 20
		w.setFaults(poisoned(task(7, 0).ProfileID))
		for i := range 50 {
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(7, 0x1000+i), decision.CompletedPass))
		}
		m := w.start()
		w.await(time.Minute, "they fail", func() bool { return m.metric("verdict_retries_total", "cause", "server_error") > 50 })
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 1000)...)
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 50 })
		w.api.SetKey("another")
		w.setFaults(func(c sandbox.Call) sandbox.Fault { // whoami takes its time
			if c.Operation == passfort.OpWhoAmI {
				return sandbox.Fault{Delay: 5 * time.Second}
			}
			return sandbox.Fault{}
		})
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedAuth) })
		time.Sleep(5 * time.Minute)
		w.api.SetKey(apiKey)
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.wantNoDeadLetters()
	})
}

// TestThrottledCallIsNoAttempt answers a lone decision with 429 again and again.
func TestThrottledCallIsNoAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 1, 0
		var throttled atomic.Int64
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete && throttled.Add(1) < 20 {
				return answer(429, "")
			}
			return sandbox.Fault{}
		})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
		m := w.start()
		w.awaitAll(30 * time.Minute)
		m.stop()
		for _, r := range w.results() {
			if r.Attempts != 1 {
				t.Errorf("%d attempts", r.Attempts)
			}
		}
		w.wantNoDeadLetters()
		if n := len(w.completions()); n < 15 {
			t.Errorf("%d calls", n)
		}
	})
}
