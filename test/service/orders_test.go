package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/passfort/sandbox"
)

// quickAPI answers within milliseconds.
var quickAPI = sandbox.Options{Latency: 5 * time.Millisecond}

// TestHoldIsObeyedWithinASecond holds and resumes a lane, a batch, and a task, while another
// batch goes on.
func TestHoldIsObeyedWithinASecond(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 20
		topic := w.cfg.Kafka.Topics.Backfill
		w.submitBatch("spring", passesFrom(topic, 0, 2000))
		w.submitBatch("autumn", passesFrom(topic, 5000, 2000))
		m := w.start()
		w.await(time.Minute, "the first goes on", func() bool { return w.completed(0, 2000) > 20 })

		still := func(d time.Duration, what string, first, end int) {
			t.Helper()
			time.Sleep(time.Second)
			before := w.completed(first, end)
			time.Sleep(d)
			if n := w.completed(first, end) - before; n != 0 {
				t.Errorf("%d calls for %s, which is held", n, what)
			}
		}
		w.hold(ledger.HoldBatch("spring"), true)
		still(20*time.Second, "the batch", 0, 2000)
		before := w.completed(5000, 7000)
		time.Sleep(10 * time.Second)
		if n := w.completed(5000, 7000) - before; n < 190 || n > 210 {
			t.Errorf("%d calls in 10 s for the other batch, want the whole rate", n)
		}
		w.wantStatus("ledger=ok", "held=batch:spring", "lane_paused=none")

		w.hold(ledger.HoldLane(decision.Backfill), true)
		w.send(passesFrom(w.cfg.Kafka.Topics.Decisions, 9000, 10)...)
		still(5*time.Second, "the lane", 0, 8000)
		if n := w.completed(9000, 9010); n != 10 {
			t.Errorf("%d of 10 in the other lane", n)
		}
		if m.metric("verdict_lane_paused", "lane", "backfill", "cause", "held") != 1 || m.metric("verdict_lane_paused", "lane", "live", "cause", "held") != 0 {
			t.Error("the metric does not show which lane is held")
		}
		time.Sleep(time.Minute)
		w.wantStatus("held=backfill,batch:spring", `lane_paused=backfill/held:\d+m\d+s`)

		w.hold(ledger.HoldLane(decision.Backfill), false)
		w.hold(ledger.HoldTask(task(9500, 9500)), true)
		time.Sleep(time.Second) // within which it is obeyed
		w.send(passesFrom(w.cfg.Kafka.Topics.Decisions, 9499, 3)...)
		w.hold(ledger.HoldBatch("spring"), false)
		before = w.completed(0, 2000)
		time.Sleep(2 * time.Second)
		if w.completed(0, 2000) == before {
			t.Error("the batch does not go on")
		}
		time.Sleep(10 * time.Second)
		if w.completed(9499, 9500)+w.completed(9501, 9502) != 2 || w.completed(9500, 9501) != 0 {
			t.Error("not only the held task waits")
		}
		w.hold(ledger.HoldTask(task(9500, 9500)), false)
		w.await(2*time.Second, "the task goes on", func() bool { return w.completed(9500, 9501) == 1 })
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		w.checkOneCallEach()
	})
}

// TestHoldsSurviveARestart starts members while a batch is held: none of its decisions is begun.
func TestHoldsSurviveARestart(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Backfill
		w.submitBatch("spring", passesFrom(topic, 0, 500))
		w.hold(ledger.HoldBatch("spring"), true)
		w.hold(ledger.HoldTask(task(501, 501)), true)
		w.send(passesFrom(topic, 500, 3)...)
		for range 2 {
			m := w.start()
			m.awaitJoined()
			time.Sleep(10 * time.Second)
			if n := w.completed(0, 500); n != 0 || w.completed(500, 503) != 2 {
				t.Errorf("%d held ones are done, and %d of two others", n, w.completed(500, 503))
			}
			m.stop()
		}
		a, b := w.start(), w.start()
		time.Sleep(time.Minute)
		w.hold(ledger.HoldBatch("spring"), false)
		w.hold(ledger.HoldTask(task(501, 501)), false)
		w.awaitAll(10 * time.Second)
		a.stop()
		b.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkOneCallEach()
	})
}

// TestNoCallBeforeTheLedgerIsKnown starts a member that can't read the ledger at first.
func TestNoCallBeforeTheLedgerIsKnown(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.hold(ledger.HoldLane(decision.Live), true)
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 20)...)
		fault := w.kafka.Inject(embedded.Fault{API: embedded.Fetch, Topic: w.cfg.Kafka.Topics.Control, Code: int(kafka.NotLeaderForPartition), Times: 8})
		m := w.start()
		time.Sleep(time.Minute)
		if fault.Hits() < 8 || len(w.completions()) > 0 {
			t.Errorf("%d calls; the ledger could not be read %d times", len(w.completions()), fault.Hits())
		}
		w.hold(ledger.HoldLane(decision.Live), false)
		w.awaitAll(5 * time.Second)
		m.stop()
	})
}

// TestCancelledBatchEndsWithoutCalls cancels a batch of 10,000 in its middle, with two members,
// and sends some of it again.
func TestCancelledBatchEndsWithoutCalls(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"while it runs": false, "while it is held": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, quickAPI, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 20
				topic := w.cfg.Kafka.Topics.Backfill
				const size = 10_000
				w.submitBatch("spring", passesFrom(topic, 0, size))
				a, b := w.start(), w.start()
				w.await(time.Minute, "it goes on", func() bool { return w.completed(0, size) > 100 })
				if held {
					w.hold(ledger.HoldBatch("spring"), true)
					time.Sleep(time.Minute)
				}
				ends := w.cancelBatch("spring", topic, held)
				time.Sleep(time.Second)
				before := w.completed(0, size)
				w.await(20*time.Second, "all are settled", func() bool {
					return w.count(w.cfg.Kafka.Topics.Results)+w.count(w.cfg.Kafka.Topics.DeadLetters) == size
				})
				if n := w.completed(0, size) - before; n != 0 {
					t.Errorf("%d calls more than a second after the cancel", n)
				}
				w.submitBatch("again", passesFrom(topic, 0, 100))
				w.send(passesFrom(topic, size, 100)...)
				w.awaitAll(time.Minute)
				a.stop()
				b.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				cancelled := 0
				for _, d := range w.deadLetters() {
					if d.Reason != decision.Cancelled || d.Attempts != 0 || d.Original.Offset >= ends[d.Original.Partition] {
						t.Fatalf("dead letter %+v", d)
					}
					if !strings.Contains(d.Error, "spring was cancelled by ops at ") || !strings.HasSuffix(d.Error, ": a test") {
						t.Fatalf("its error is %q", d.Error)
					}
					cancelled++
				}
				if cancelled < size-before || cancelled > size-100 {
					t.Errorf("%d cancelled; %d were called", cancelled, before)
				}
			})
		})
	}
}

// TestCancelLetsWhatWasTriedGoOn cancels a batch while some of it is being tried again.
func TestCancelLetsWhatWasTriedGoOn(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.Guard = 20, 5
		topic := w.cfg.Kafka.Topics.Backfill
		w.submitBatch("spring", passesFrom(topic, 0, 1000))
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Number%3 == 0 {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		m := w.start()
		w.await(time.Minute, "it goes on", func() bool { return w.completed(0, 1000) > 100 })
		w.hold(ledger.HoldLane(decision.Backfill), true) // so that some are surely tried, and wait
		time.Sleep(10 * time.Second)
		w.cancelBatch("spring", topic, false)
		w.await(5*time.Second, "what was not begun is settled though its lane is held", func() bool { return w.count(w.cfg.Kafka.Topics.DeadLetters) > 500 })
		calls := len(w.completions())
		w.setFaults(nil)
		w.hold(ledger.HoldLane(decision.Backfill), false)
		w.awaitAll(5 * time.Minute)
		if len(w.completions()) == calls {
			t.Error("nothing that was tried went on")
		}
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for _, d := range w.deadLetters() {
			if d.Reason != decision.Cancelled || d.Attempts != 0 {
				t.Fatalf("dead letter %+v", d)
			}
		}
		if n := m.metric("verdict_lane_paused"); n != 0 {
			t.Errorf("%v lanes are paused", n)
		}
	})
}

// TestOrderedRateIsSharedAndEnds orders rates below and above the limit, with two members.
func TestOrderedRateIsSharedAndEnds(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 40
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 20_000)...)
		a, b := w.start(), w.start()
		time.Sleep(30 * time.Second)
		want := func(what string, d time.Duration, perSecond float64) {
			t.Helper()
			before := len(w.completions())
			time.Sleep(d)
			n, want := float64(len(w.completions())-before), perSecond*d.Seconds()
			if n < want*0.9-5 || n > want*1.05+5 {
				t.Errorf("%s: %v calls in %v, want %v", what, n, d, want)
			}
		}
		want("configured", 20*time.Second, 40)
		w.orderRate(10, 3*time.Minute)
		ends := time.Now().Add(3 * time.Minute)
		time.Sleep(time.Second)
		want("ordered", 50*time.Second, 10)
		w.wantStatus(`rate\.ordered=10`)
		time.Sleep(time.Until(ends) - 10*time.Second)
		want("before its end", 10*time.Second, 10)
		want("after its end", 20*time.Second, 40)
		w.orderRate(1000, 0)
		time.Sleep(time.Second)
		want("above the limit", 20*time.Second, 40)
		w.orderRate(0.1, 0)
		time.Sleep(time.Second)
		want("hardly any", 200*time.Second, 0.1)
		w.orderRate(0, 0)
		time.Sleep(time.Second)
		want("configured again", 20*time.Second, 40)
		w.checkRate(40, w.cfg.API.Burst)
		a.stop()
		b.stop()
	})
}

// TestLostLedgerPausesBackfill deletes the ledger while it is read, and makes it again.
func TestLostLedgerPausesBackfill(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 20
		topic := w.cfg.Kafka.Topics.Backfill
		run := w.submitBatch("spring", passesFrom(topic, 0, 300))
		w.hold(ledger.HoldBatch("spring"), true)
		w.submitBatch("autumn", passesFrom(topic, 1000, 3000))
		m := w.start()
		w.await(time.Minute, "the other goes on", func() bool { return w.completed(1000, 4000) > 100 })
		if err := w.kafka.DeleteTopic(w.cfg.Kafka.Topics.Control); err != nil {
			t.Fatal(err)
		}
		lost := func() bool { return m.metric("verdict_lane_paused", "lane", "backfill", "cause", "ledger") == 1 }
		w.await(10*time.Second, "backfill pauses", lost)
		before := w.completed(0, 4000)
		w.send(passesFrom(w.cfg.Kafka.Topics.Decisions, 9000, 20)...)
		time.Sleep(time.Minute)
		if n := w.completed(0, 4000) - before; n > 1 || w.completed(9000, 9020) != 20 {
			t.Errorf("%d calls of backfill, and %d of 20 live ones", n, w.completed(9000, 9020))
		}
		w.wantStatus("ledger=lost", "held=batch:spring", `lane_paused=backfill/ledger:\S+`)
		m.stop()

		m = w.start() // the audit topic says that there was one
		w.await(20*time.Second, "backfill pauses after a restart", lost)
		time.Sleep(time.Minute)
		if n := w.completed(0, 4000) - before; n > 1 {
			t.Errorf("%d calls of backfill", n)
		}
		w.connect()
		w.order("submit", ledger.BatchKey("spring"), ledger.Entry{Batch: &ledger.Batch{Topic: topic, Runs: []string{run}}})
		w.hold(ledger.HoldBatch("spring"), true)
		w.await(10*time.Second, "backfill goes on", func() bool { return w.completed(1000, 4000) > before+20 })
		time.Sleep(10 * time.Second)
		if n := w.completed(0, 300); n != 0 {
			t.Errorf("%d of the held batch", n)
		}
		w.hold(ledger.HoldBatch("spring"), false)
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
	})
}

func TestServiceRunsWithoutALedger(t *testing.T) {
	t.Parallel()
	inWorld(t, quickAPI, func(t *testing.T, w *world) {
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 200)...)
		m := w.start()
		w.awaitAll(10 * time.Second)
		time.Sleep(10 * time.Minute)
		w.wantStatus("ledger=none", "held=none")
		if lines := w.logLines("no control topic"); len(lines) != 1 {
			t.Errorf("%d lines say so", len(lines))
		}
		if w.kafka.HighWatermark(w.cfg.Kafka.Topics.Control, 0) >= 0 {
			t.Error("run made the control topic")
		}
		w.submitBatch("spring", passesFrom(w.cfg.Kafka.Topics.Backfill, 1000, 10))
		w.awaitAll(10 * time.Second)
		time.Sleep(5 * time.Second)
		w.hold(ledger.HoldLane(decision.Backfill), true)
		w.await(time.Second, "the hold is obeyed", func() bool { return m.metric("verdict_lane_paused", "cause", "held") == 1 })
		m.stop()
	})
}

// TestHeldBatchDoesNotFillItsLane has more held decisions than a lane holds before 300 others, in
// a hold that comes before or after they were read.
func TestHeldBatchDoesNotFillItsLane(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"held before": false, "held after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, quickAPI, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 50
				topic := w.cfg.Kafka.Topics.Backfill
				const size, others = 12_000, 300
				w.submitBatch("spring", passesFrom(topic, 0, size))
				if !late {
					w.hold(ledger.HoldBatch("spring"), true)
				}
				w.send(passesFrom(topic, size, others)...)
				m := w.start()
				m.awaitJoined()
				if late {
					time.Sleep(5 * time.Second)
					w.hold(ledger.HoldBatch("spring"), true)
				}
				began := time.Now()
				w.await(time.Minute, "the others are done", func() bool { return w.completed(size, size+others) == others })
				if took := time.Since(began); took > 12*time.Second {
					t.Errorf("the others took %v", took)
				}
				before := w.completed(0, size)
				time.Sleep(time.Hour)
				if n := w.completed(0, size) - before; n != 0 {
					t.Errorf("%d held ones were done", n)
				}
				if n := m.metric("verdict_pending", "lane", "backfill"); n != 0 {
					t.Errorf("%v pending", n)
				}
				if n := int(m.metric("verdict_parked", "lane", "backfill")); n != size-before {
					t.Errorf("%d parked, want %d", n, size-before)
				}
				w.hold(ledger.HoldBatch("spring"), false)
				time.Sleep(5 * time.Second)
				if n := w.completed(0, size) - before; n < 150 {
					t.Errorf("%d in the five seconds after the resume", n)
				}
				w.awaitAll(10 * time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				w.checkOneCallEach()
			})
		})
	}
}

// TestHoldKeepsTheOrderOfTasks holds and resumes two batches in turn whose decisions are on the
// same few tasks, by ID and by alias.
func TestHoldKeepsTheOrderOfTasks(t *testing.T) {
	t.Parallel()
	var d directory
	d.set(task(7, 0), listed(task(7, 0), "a0", "T0"), listed(task(7, 1), "a1", "T1"), listed(task(7, 2), "a2", "T2"))
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 50 * time.Millisecond, Profiles: d.tasks}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Backfill
		n := 0
		for round := range 12 {
			var records []outgoing
			for range 60 {
				n++
				state := decision.CompletedPass
				if n/3%2 == 1 {
					state = decision.CompletedFail
				}
				if at := task(7, n%3); n%10 == 0 {
					records = append(records, decisionByKey(topic, at, "alias", fmt.Sprint("a", n%3), state))
				} else {
					records = append(records, decisionOn(topic, at, state))
				}
			}
			w.submitBatch(fmt.Sprint("batch-", round%3), records)
		}
		m := w.start()
		for round := range 12 {
			w.hold(ledger.HoldBatch(fmt.Sprint("batch-", round%3)), round%2 == 0)
			time.Sleep(time.Duration(300+70*round) * time.Millisecond)
		}
		for i := range 3 {
			w.hold(ledger.HoldBatch(fmt.Sprint("batch-", i)), false)
		}
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		w.checkOneCallEach()
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}
