package service_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// answer is a fault that answers every completion of a task.
func answer(status int, body string) sandbox.Fault {
	return sandbox.Fault{Do: sandbox.Answer, Status: status, Body: body}
}

func TestEachAnswerOfTheAPIHasItsOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		fault    sandbox.Fault
		want     string
		attempts int
	}{
		"400":                       {answer(400, `{"errors":[{"code":201,"message":"bad"}]}`), "rejected", 1},
		"404":                       {answer(404, ``), "task_not_found", 1},
		"409":                       {answer(409, ``), "rejected", 1},
		"412":                       {answer(412, ``), "rejected", 1},
		"422":                       {answer(422, ``), "rejected", 1},
		"418, unknown":              {answer(418, ``), "rejected", 1},
		"302, not followed":         {sandbox.Fault{Do: sandbox.Answer, Status: 302, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, "rejected", 1},
		"200 with errors":           {answer(200, `{"errors":[{"code":201,"message":"no"}]}`), "rejected", 1},
		"403, the key being good":   {answer(403, ``), "forbidden", 1},
		"401, the key being good":   {answer(401, ``), "forbidden", 1},
		"408":                       {answer(408, ``), "retries_exhausted", 3},
		"500":                       {answer(500, `oops`), "retries_exhausted", 3},
		"502":                       {answer(502, `<html>`), "retries_exhausted", 3},
		"503":                       {answer(503, ``), "retries_exhausted", 3},
		"503 with a code":           {answer(503, `{"errors":[{"code":201,"message":"bad"}]}`), "retries_exhausted", 3},
		"404 with a code":           {answer(404, `{"errors":[{"code":201,"message":"bad"}]}`), "task_not_found", 1},
		"599, unknown":              {answer(599, ``), "retries_exhausted", 3},
		"cut":                       {sandbox.Fault{Do: sandbox.Cut}, "retries_exhausted", 3},
		"no answer":                 {sandbox.Fault{Do: sandbox.Hang}, "retries_exhausted", 3},
		"200 that is no task":       {answer(200, `<html>`), "unconfirmed", 3},
		"200 in another state":      {answer(200, `{"id":"%s","state":"INCOMPLETE"}`), "unconfirmed", 3},
		"204":                       {answer(204, ``), "unconfirmed", 3},
		"done, then cut":            {sandbox.Fault{Do: sandbox.Cut, Act: true}, "already_complete", 1},
		"done, then 502":            {sandbox.Fault{Do: sandbox.Answer, Act: true, Status: 502}, "already_complete", 1},
		"done, then no answer":      {sandbox.Fault{Do: sandbox.Hang, Act: true}, "already_complete", 1},
		"done, then a cut answer":   {sandbox.Fault{Do: sandbox.Cut, Act: true, Status: 200, Body: `{"id":`}, "already_complete", 1},
		"done, then no task's body": {sandbox.Fault{Do: sandbox.Answer, Act: true, Status: 200, Body: `thanks`}, "already_complete", 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts = 3
				it := task(1, 1)
				c.fault.Body = strings.ReplaceAll(c.fault.Body, "%s", it.TaskID)
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpComplete && call.TaskID == it.TaskID {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(decide(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass), decide(w.cfg.Kafka.Topics.Decisions, task(1, 2), decision.CompletedPass))
				m := w.start()
				w.awaitAll(20 * time.Minute)
				m.stop()
				outcomes := w.checkSettledOnce()
				w.checkCommitted()
				attempts := -1
				for _, d := range w.deadLetters() {
					attempts = d.Attempts
				}
				for _, r := range w.results() {
					if r.TaskID == it.TaskID {
						attempts = r.Attempts
					}
				}
				for at, sent := range w.submitted {
					if sent.task == it && outcomes[at] != c.want {
						t.Errorf("outcome %s, want %s", outcomes[at], c.want)
					}
					if sent.task != it && outcomes[at] != "completed" {
						t.Errorf("the neighbour is %s", outcomes[at])
					}
				}
				if attempts != c.attempts {
					t.Errorf("%d attempts, want %d", attempts, c.attempts)
				}
				if c.fault.Act && w.api.Completions(it.ProfileID, it.TaskID) != 1 {
					t.Errorf("completed %d times", w.api.Completions(it.ProfileID, it.TaskID))
				}
			})
		})
	}
}

func TestAPersonsOppositeDecisionIsNotOverwrittenUnasked(t *testing.T) {
	for on, want := range map[decision.OnConflict]struct {
		outcome string
		state   decision.State
	}{
		decision.ConflictDeadLetter: {"conflict", decision.CompletedFail},
		decision.ConflictSkip:       {"skipped", decision.CompletedFail},
		decision.ConflictOverwrite:  {"completed", decision.CompletedPass},
	} {
		t.Run(string(on), func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				it := task(1, 1)
				w.cfg.Processor.OnConflict = on
				var first atomic.Bool
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.Operation == passfort.OpComplete && first.CompareAndSwap(false, true) {
						w.api.SetState(it.ProfileID, it.TaskID, decision.CompletedFail) // a person, meanwhile
						return sandbox.Fault{Do: sandbox.Cut}
					}
					return sandbox.Fault{}
				})
				w.send(decide(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != want.outcome {
						t.Errorf("outcome %s, want %s", outcome, want.outcome)
					}
				}
				if got := w.api.State(it.ProfileID, it.TaskID); got != want.state {
					t.Errorf("the task is %s, want %s", got, want.state)
				}
			})
		})
	}
}

func TestA429HoldsEveryCallAndIsNobodysAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.MaxAttempts = 100, 1
		records := passes(w.cfg.Kafka.Topics.Decisions, 2000)
		w.send(records...)
		var told atomic.Int64
		var holdFrom atomic.Int64
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Number > 300 && told.Add(1) <= 3 {
				holdFrom.CompareAndSwap(0, time.Now().UnixNano())
				return sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"X-Ratelimit-Retry-Secs": {"30"}}}
			}
			return sandbox.Fault{}
		})
		m := w.start()
		w.await(time.Minute, "paused", func() bool { return m.metric("verdict_paused", "cause", "throttled") == 1 })
		if limit := m.metric("verdict_rate_limit"); limit > 51 {
			t.Errorf("the rate after a 429 is %v, want it cut to half", limit)
		}
		w.awaitAll(10 * time.Minute)
		if m.metric("verdict_paused", "cause", "throttled") != 0 {
			t.Error("still paused")
		}
		if limit := m.metric("verdict_rate_limit"); limit < 60 {
			t.Errorf("the rate did not climb back; it is %v", limit)
		}
		m.stop()
		w.checkSettledOnce()
		from := time.Unix(0, holdFrom.Load())
		for _, c := range w.allCalls() {
			if after := c.Time.Sub(from); after > 100*time.Millisecond && after < 30*time.Second {
				t.Fatalf("a call %v after a 429 that asked for 30s", after)
			}
		}
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestTheRateHeadersSlowCallsDownBeforeA429(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond, RateLimit: 50, Burst: 100}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 1000 // far more than the API takes
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
			t.Errorf("3000 calls took %v at an API that takes 50 a second", took)
		}
	})
}

func TestAHostileRateHeaderDoesNotStopTheService(t *testing.T) {
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
				w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
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

func TestARefusedKeyPausesUntilItsFileHasAGoodOne(t *testing.T) {
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
		w.await(time.Minute, "paused", func() bool { return m.metric("verdict_paused", "cause", "auth") == 1 })
		time.Sleep(time.Second)
		before := len(w.allCalls())
		time.Sleep(10 * time.Minute)
		if probes := len(w.allCalls()) - before; probes < 5 || probes > 60 {
			t.Errorf("%d probes in ten minutes of a refused key", probes)
		}
		write("another")
		w.awaitAll(10 * time.Minute)
		if m.metric("verdict_paused", "cause", "auth") != 0 {
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

func TestAnOutageOfTenMinutesDeadLettersNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"503": answer(503, ""), "cut": {Do: sandbox.Cut}, "no answer": {Do: sandbox.Hang}, "500": answer(500, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit, w.cfg.API.Timeout = 400, 10*time.Second
				n := 2000
				if name == "503" && !raceEnabled() { // the race detector would take minutes
					n = 100_000
				}
				records := passes(w.cfg.Kafka.Topics.Backfill, n)
				w.send(records...)
				m := w.start()
				w.await(10*time.Minute, "a quarter is done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > n/4 })
				w.setFaults(func(sandbox.Call) sandbox.Fault { return fault })
				w.await(time.Minute, "paused", func() bool { return m.metric("verdict_paused", "cause", "outage") == 1 })
				time.Sleep(30 * time.Second)
				before := len(w.allCalls())
				time.Sleep(10 * time.Minute)
				if probes := len(w.allCalls()) - before; probes < 20 || probes > 130 {
					t.Errorf("%d calls in ten minutes of an outage, want one every few seconds", probes)
				}
				w.setFaults(nil)
				w.awaitAll(30 * time.Minute)
				if m.metric("verdict_paused", "cause", "outage") != 0 {
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

func TestARetryBlocksNoOtherTaskAndItsAttemptsSurviveARestart(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.Processor.Workers, w.cfg.Processor.MaxAttempts = 2, 6
		bad := task(1, 0)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == bad.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		w.send(decide(w.cfg.Kafka.Topics.Decisions, bad, decision.CompletedPass), decide(w.cfg.Kafka.Topics.Decisions, bad, decision.CompletedFail))
		m := w.start()
		w.await(time.Minute, "three attempts", func() bool { return m.metric("verdict_retries_total", "cause", "server_error") >= 3 })
		m.stop()
		m = w.start()
		var records []outgoing
		for i := range 300 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
		}
		began := time.Now()
		w.send(records...)
		w.await(10*time.Second, "the others are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 300 })
		t.Logf("300 calls of 5ms by 2 workers beside a retry took %v", time.Since(began))
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		n := 0
		for _, c := range w.completions() {
			if c.TaskID == bad.TaskID {
				n++
			}
		}
		if n != 12 {
			t.Errorf("%d calls for two decisions with six attempts each; the restart should not have given more", n)
		}
	})
}

func TestKafkaAwayForMinutesPausesAndLosesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		records := passes(w.cfg.Kafka.Topics.Decisions, 3000)
		w.send(records...)
		m := w.start()
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 500 })
		w.network.Cut(w.kafka.Addrs()...)
		w.await(time.Minute, "paused", func() bool { return m.metric("verdict_paused", "cause", "kafka") == 1 })
		time.Sleep(time.Minute)
		before := len(w.allCalls())
		time.Sleep(2 * time.Minute)
		if calls := len(w.allCalls()) - before; calls != 0 {
			t.Errorf("%d calls while nothing could be settled", calls)
		}
		w.network.Mend(w.kafka.Addrs()...)
		w.await(10*time.Minute, "every decision is settled", func() bool {
			return int(m.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 3000
		})
		if m.metric("verdict_paused", "cause", "kafka") != 0 {
			t.Error("still paused")
		}
		m.stop()
		w.checkCommitted()
		seen := make(map[decision.Origin]int)
		for _, r := range w.results() {
			seen[r.Origin]++
		}
		repeats := 0
		for at := range w.submitted {
			switch {
			case seen[at] == 0:
				t.Errorf("%v was never settled", at)
			case seen[at] > 1:
				repeats += seen[at] - 1
			}
		}
		t.Logf("%d decisions were settled again, of %d in flight or uncommitted at the most", repeats, 64+4*64+20)
		if repeats > 64+4*64+20 {
			t.Errorf("%d decisions were settled again", repeats)
		}
	})
}

func TestFaultsOfTheBrokersAreWaitedOut(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]embedded.Fault{
		"produce: not leader":       {API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 20},
		"produce: not enough in":    {API: embedded.Produce, Code: int(kafka.NotEnoughReplicas), Times: 20},
		"produce: not authorized":   {API: embedded.Produce, Code: int(kafka.TopicAuthorizationFailed), Times: 10},
		"commit: coordinator moved": {API: embedded.OffsetCommit, Code: int(kafka.NotCoordinatorForGroup), Times: 5},
		"commit: loading":           {API: embedded.OffsetCommit, Code: int(kafka.GroupLoadInProgress), Times: 5},
		"commit: metadata too big":  {API: embedded.OffsetCommit, Code: int(kafka.OffsetMetadataTooLarge), Times: 2},
		"commit: fenced":            {API: embedded.OffsetCommit, Code: int(kafka.IllegalGeneration), Times: 1},
		"fetch: not leader":         {API: embedded.Fetch, Code: int(kafka.NotLeaderForPartition), Times: 10},
		"heartbeat: unknown member": {API: embedded.Heartbeat, Code: int(kafka.UnknownMemberId), Times: 1},
		"join: coordinator away":    {API: embedded.JoinGroup, Code: int(kafka.GroupCoordinatorNotAvailable), Times: 3},
		"offsets: loading":          {API: embedded.OffsetFetch, Code: int(kafka.GroupLoadInProgress), Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 200
				records := passes(w.cfg.Kafka.Topics.Decisions, 2000)
				w.send(records[:1000]...)
				m := w.start()
				w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 300 })
				if fault.API == embedded.Produce {
					fault.Topic = w.cfg.Kafka.Topics.Results
				}
				w.kafka.Inject(fault)
				if strings.HasPrefix(name, "join") || strings.HasPrefix(name, "offsets") {
					w.kafka.Inject(embedded.Fault{API: embedded.Heartbeat, Code: int(kafka.RebalanceInProgress), Times: 1})
				}
				time.Sleep(10 * time.Second)
				w.send(records[1000:]...)
				w.await(10*time.Minute, "every decision is settled", func() bool {
					return int(m.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 2000 && m.metric("verdict_partitions_assigned") > 0
				})
				if m.metric("verdict_paused", "cause", "kafka") != 0 {
					t.Error("still paused")
				}
				m.stop()
				w.checkCommitted()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
				if name != "commit: fenced" && name != "heartbeat: unknown member" {
					w.checkSettledOnce()
				}
			})
		})
	}
}

func TestATopicThatIsMissingIsWaitedForAndNewPartitionsAreRead(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.Kafka.Topics.Backfill = "late-topic"
		m := w.start()
		time.Sleep(time.Minute)
		if m.metric("verdict_paused", "cause", "kafka") != 1 {
			t.Error("not paused, though a topic is missing")
		}
		if err := w.kafka.CreateTopic("late-topic", partitions, nil); err != nil {
			t.Fatal(err)
		}
		w.send(decide("late-topic", task(1, 1), decision.CompletedPass), decide(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass))
		w.awaitAll(time.Minute)
		if m.metric("verdict_paused", "cause", "kafka") != 0 {
			t.Error("still paused")
		}
		m.stop()
		w.checkSettledOnce()
	})
}

func TestWhatKafkaFindsTooLargeGoesWithoutItsBody(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.Kafka.Topics.Results, w.cfg.Kafka.Topics.DeadLetters = "small-results", "small-dlq"
		for _, topic := range []string{"small-results", "small-dlq"} {
			if err := w.kafka.CreateTopic(topic, partitions, map[string]string{"max.message.bytes": "4096"}); err != nil {
				t.Fatal(err)
			}
		}
		good, bad := task(1, 1), task(1, 2)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == good.TaskID && c.Operation == passfort.OpComplete {
				return answer(200, fmt.Sprintf(`{"id":%q,"state":"COMPLETED_PASS","note":%q}`, good.TaskID, strings.Repeat("x", 10_000)))
			}
			return sandbox.Fault{}
		})
		w.send(decide(w.cfg.Kafka.Topics.Decisions, good, decision.CompletedPass),
			decide(w.cfg.Kafka.Topics.Decisions, bad, "WRONG", fmt.Sprintf(`"note":%q`, strings.Repeat("y", 10_000))))
		m := w.start()
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for _, r := range w.results() {
			if r.Task != nil || r.Outcome != decision.Completed {
				t.Errorf("result %s with a task of %d bytes", r.Outcome, len(r.Task))
			}
		}
		for _, d := range w.deadLetters() {
			if !d.ValueOmitted || d.Original.Origin().Topic != w.cfg.Kafka.Topics.Decisions {
				t.Errorf("dead letter %+v", d)
			}
		}
	})
}

func TestMembersThatComeAndGoForAMinuteRepeatNoCall(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 30 * time.Millisecond, Jitter: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 150
		var records []outgoing
		for i := range 9000 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(i%900, i%1300), decision.CompletedPass))
		}
		w.send(records...)
		w.watchCommits()
		members := []*member{w.start(), w.start()}
		r := rand.New(rand.NewPCG(7, 8))
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			time.Sleep(time.Second + time.Duration(r.Int64N(int64(4*time.Second))))
			if len(members) < 4 && r.IntN(2) == 0 || len(members) == 1 {
				members = append(members, w.start())
				continue
			}
			leaves := r.IntN(len(members))
			members[leaves].stop()
			members = slices.Delete(members, leaves, leaves+1)
		}
		w.awaitAll(10 * time.Minute)
		for _, m := range members {
			m.stop()
		}
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkRate(150, 10)
		if got := len(w.completions()); got != len(records) {
			t.Errorf("%d calls for %d decisions", got, len(records))
		}
	})
}

func TestAStopGivesUpCallsThatOutlastItAndTheNextOwnerLooksFirst(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		it := task(1, 1)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete {
				return sandbox.Fault{Do: sandbox.Hang, Act: true}
			}
			return sandbox.Fault{}
		})
		w.send(decide(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass))
		m := w.start()
		w.await(time.Minute, "called", func() bool { return len(w.completions()) == 1 })
		began := time.Now()
		m.stop()
		if took := time.Since(began); took > w.cfg.Processor.ShutdownTimeout+2*time.Second {
			t.Errorf("the stop took %v", took)
		}
		m = w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, outcome := range w.checkSettledOnce() {
			if outcome != "already_complete" {
				t.Errorf("outcome %s: the second owner did not look first", outcome)
			}
		}
		if n := w.api.Completions(it.ProfileID, it.TaskID); n != 1 {
			t.Errorf("completed %d times", n)
		}
	})
}
