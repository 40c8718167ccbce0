package service_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// states are asked for at random where the order of a task is checked.
func anyState(r *rand.Rand) decision.State {
	if r.IntN(2) == 0 {
		return decision.CompletedPass
	}
	return decision.CompletedFail
}

func TestEveryDecisionIsCarriedOutOnceInTheOrderOfItsTask(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond}, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(r, 1.3, 1, 400)
		var records []outgoing
		for range 3000 {
			n := int(zipf.Uint64())
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(n/3, n), anyState(r)))
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		if got := len(w.completions()); got != 3000 {
			t.Errorf("%d calls for 3000 decisions", got)
		}
	})
}

func TestDifferentTasksOfOnePartitionRunInParallel(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: time.Second}, func(t *testing.T, w *world) {
		var records []outgoing
		for i := range 64 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(7, i), decision.CompletedPass)) // one profile: one partition
		}
		m := w.start()
		w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
		began := time.Now()
		w.send(records...)
		w.awaitAll(time.Minute)
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("64 calls of 1s took %v with 64 workers", took)
		}
		m.stop()
		if got := w.api.Stats().MaxInFlight; got != 64 {
			t.Errorf("%d calls in flight, want 64", got)
		}
	})
}

func TestBrokenRecordsEndAsDeadLettersBesideTheirNeighbours(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		good := task(1, 1)
		broken := map[string]string{
			"empty":       "",
			"not JSON":    "{",
			"not object":  "[1]",
			"no fields":   "{}",
			"path":        value(decision.Task{ProfileID: good.ProfileID, TaskID: "../../whoami"}, decision.CompletedPass),
			"state":       value(good, "COMPLETED_PASSED"),
			"twice":       value(good, decision.CompletedPass, `"state":"COMPLETED_FAIL"`),
			"control":     value(good, decision.CompletedPass, `"id":"bell\u0007"`),
			"not UTF-8":   "{\"id\":\"\xff\"}",
			"expired":     value(good, decision.CompletedPass, `"expires_at":"1999-01-01T00:00:00Z"`),
			"over 64 KiB": value(good, decision.CompletedPass, fmt.Sprintf(`"x":%q`, make([]byte, 20<<10))),
		}
		var records []outgoing
		for name, v := range broken {
			records = append(records, outgoing{topic: topic, key: name, value: v})
			records = append(records, decide(topic, task(2, len(records)), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		outcomes := w.checkSettledOnce()
		w.checkCommitted()
		for _, d := range w.deadLetters() {
			name := string(d.Original.Key)
			want := decision.InvalidEvent
			if name == "expired" {
				want = decision.Expired
			}
			if d.Reason != want || string(d.Original.Value) != broken[name] || d.Error == "" {
				t.Errorf("%s: dead letter %s %q", name, d.Reason, d.Error)
			}
			delete(broken, name)
		}
		if len(broken) > 0 {
			t.Errorf("no dead letter for %v", broken)
		}
		if len(w.completions()) != len(outcomes)/2 {
			t.Errorf("%d calls for %d good decisions", len(w.completions()), len(outcomes)/2)
		}
	})
}

func TestADecisionSentTwiceIsCarriedOutOnce(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		once := decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`)
		other := decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedFail, `"id":"d-2"`)
		m := w.start()
		w.send(once, once, other, once)
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		if got := m.metric("verdict_decisions_total", "outcome", "duplicate"); got != 2 {
			t.Errorf("%v duplicates, want 2", got)
		}
		if got := w.api.State(once.task.ProfileID, once.task.TaskID); got != "COMPLETED_FAIL" {
			t.Errorf("the task is %s", got)
		}
	})
}

func TestTheRateIsNeverExceededAndAlmostAllOfItUsed(t *testing.T) {
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
					records = append(records, decide(topic, task(i, i), decision.CompletedPass))
				}
				w.send(records...)
				var all []*member
				for range members {
					all = append(all, w.start())
				}
				w.await(time.Minute, "everyone has partitions", func() bool {
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
					t.Errorf("only %.2f%% of the rate were used", 100*used)
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

func TestLiveGoesBeforeBackfillWhichKeepsItsShare(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 50
		var backfill, live []outgoing
		for i := range 2000 {
			backfill = append(backfill, decide(w.cfg.Kafka.Topics.Backfill, task(i, i), decision.CompletedPass))
			live = append(live, decide(w.cfg.Kafka.Topics.Decisions, task(5000+i, 5000+i), decision.CompletedPass))
		}
		w.send(backfill...)
		m := w.start()
		w.await(time.Minute, "backfill runs", func() bool { return m.metric("verdict_decisions_total", "lane", "backfill") > 50 })

		// A live decision now and then goes at once: one token, no more.
		for i := range 20 {
			began := time.Now()
			before := m.metric("verdict_decisions_total", "lane", "live")
			w.send(live[i])
			w.await(time.Minute, "settled", func() bool { return m.metric("verdict_decisions_total", "lane", "live") > before })
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("live decision %d took %v under a backfill", i, took)
			}
		}
		// More live decisions than the rate leave the backfill its tenth.
		w.send(live[20:]...)
		time.Sleep(time.Second)
		liveBefore, backfillBefore := m.metric("verdict_decisions_total", "lane", "live"), m.metric("verdict_decisions_total", "lane", "backfill")
		time.Sleep(20 * time.Second)
		l, b := m.metric("verdict_decisions_total", "lane", "live")-liveBefore, m.metric("verdict_decisions_total", "lane", "backfill")-backfillBefore
		if share := b / (l + b); share < 0.09 || share > 0.11 {
			t.Errorf("backfill had %.3f of %v calls, want a tenth", share, l+b)
		}
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
	})
}

func TestAMemberThatJoinsAndLeavesRepeatsNoCall(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 50 * time.Millisecond, Jitter: 100 * time.Millisecond}, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(3, 4))
		var records []outgoing
		for i := range 6000 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(i%500, i%700), anyState(r)))
		}
		w.send(records...)
		change := func(c *configs.Config) { c.Processor.Workers = 32 }
		a := w.start(change)
		w.await(time.Minute, "a works", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 500 })
		b := w.start(change)
		w.await(time.Minute, "b works", func() bool { return b.metric("verdict_decisions_total") > 500 })
		a.stop()
		w.await(time.Minute, "b has all", func() bool { return b.metric("verdict_partitions_assigned") == 2*partitions })
		c := w.start(change)
		w.awaitAll(5 * time.Minute)
		b.stop()
		c.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		if got := len(w.completions()); got != len(records) {
			t.Errorf("%d calls for %d decisions", got, len(records))
		}
	})
}

func TestARestartRepeatsNoCallThoughOffsetsSettledOutOfOrder(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		slow := task(1, 1)
		w.faults = func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == slow.TaskID {
				return sandbox.Fault{Do: sandbox.Answer, Status: 503}
			}
			return sandbox.Fault{}
		}
		records := []outgoing{decide(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass)}
		for i := range 500 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(func(c *configs.Config) { c.Processor.MaxAttempts = 100 })
		w.await(time.Minute, "all but one settled", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 500 })
		m.stop()
		_, metadata, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, w.cfg.Kafka.Topics.Decisions, partitionOf(slow))
		if metadata == "" {
			t.Fatal("the commit has no metadata, though 500 offsets are settled beyond it")
		}
		w.setFaults(nil)
		m = w.start()
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for i := range 500 {
			if n := w.api.Completions(slow.ProfileID, task(1, 2+i).TaskID); n != 1 {
				t.Fatalf("task %d was completed %d times", i, n)
			}
		}
	})
}
