package service_test

import (
	"fmt"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// TestOneTaskDoesNotFillItsLane has more decisions on one task than a lane holds, which
// fails or is well, before 300 others.
func TestOneTaskDoesNotFillItsLane(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n     int
		alias bool
		fault sandbox.Fault
	}{
		"sick":           {12_000, false, answer(500, "")},
		"sick, by alias": {12_000, true, answer(500, "")},
		"well":           {7_000, false, sandbox.Fault{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d directory
			busy := task(7, 7)
			d.set(busy, listed(busy, "a", "T"))
			inWorld(t, sandbox.Options{Latency: 50 * time.Millisecond, Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 50
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == busy.TaskID && call.Operation == passfort.OpComplete {
						return c.fault
					}
					return sandbox.Fault{}
				})
				topic := w.cfg.Kafka.Topics.Decisions
				var records []outgoing
				for range c.n {
					if c.alias {
						records = append(records, decisionByKey(topic, busy, "alias", "a", decision.CompletedPass))
					} else {
						records = append(records, decisionOn(topic, busy, decision.CompletedPass))
					}
				}
				const others = 300
				for i := range others {
					records = append(records, decisionOn(topic, task(1000+i, 1000+i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start()
				m.awaitJoined()
				began := time.Now()
				done := func() (n int) {
					for i := range others {
						n += w.api.Completions(task(1000+i, 0).ProfileID, task(0, 1000+i).TaskID)
					}
					return n
				}
				w.await(time.Minute, "the others are done", func() bool { return done() == others })
				took := time.Since(began)
				t.Logf("%d others took %v", others, took)
				// The busy task's own calls are a token each 50 ms, if it is well.
				if most := 12 * time.Second; took > most {
					t.Errorf("the others took %v", took)
				}
				if parked := int(m.metric("verdict_parked", "lane", "live")); parked < c.n-64-500 {
					t.Errorf("%d of %d parked", parked, c.n)
				}
				m.stop()
			})
		})
	}
}

// TestParkedDecisionsAreCarriedOutInOrder restarts in the middle of decisions on few
// tasks, by ID and by alias, many more than each may hold in memory.
func TestParkedDecisionsAreCarriedOutInOrder(t *testing.T) {
	t.Parallel()
	var d directory
	d.set(task(7, 0), listed(task(7, 0), "a0", "T0"), listed(task(7, 1), "a1", "T1"), listed(task(7, 2), "a2", "T2"))
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond, Profiles: d.tasks}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Backfill
		var records []outgoing
		for i := range 3000 {
			state := decision.CompletedPass
			if i/3%2 == 1 {
				state = decision.CompletedFail
			}
			if at := task(7, i%3); i > 1000 && i%10 == 0 {
				records = append(records, decisionByKey(topic, at, "alias", fmt.Sprint("a", i%3), state))
			} else {
				records = append(records, decisionOn(topic, at, state))
			}
		}
		w.send(records...)
		m := w.start()
		w.await(time.Minute, "some are parked", func() bool { return m.metric("verdict_parked", "lane", "backfill") > 2500 })
		for range 3 {
			before := w.count(w.cfg.Kafka.Topics.Results)
			w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > before+300 })
			m.stop()
			m = w.start()
		}
		w.awaitAll(5 * time.Minute)
		if parked := m.metric("verdict_parked"); parked != 0 {
			t.Errorf("%v are still parked", parked)
		}
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		w.checkOneCallEach()
		for _, r := range w.results() {
			if r.ReceivedAt.Before(time.Now().Add(-time.Hour)) {
				t.Fatalf("%v was received at %v", r.Origin, r.ReceivedAt)
			}
		}
	})
}

// TestParkedRecordThatIsGoneIsLost has retention delete records while they are parked.
func TestParkedRecordThatIsGoneIsLost(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		topic, sick := w.cfg.Kafka.Topics.Decisions, task(7, 7)
		w.setFaults(poisoned(sick.ProfileID))
		var records []outgoing
		for i := range 300 {
			records = append(records, decisionOn(topic, sick, decision.CompletedPass, fmt.Sprintf(`"id":"d-%d"`, i)))
		}
		w.send(records...)
		m := w.start()
		w.await(time.Minute, "all others are parked", func() bool { return m.metric("verdict_parked", "lane", "live") == 300-64 })
		const gone = 200
		fixture.DeleteRecords(t, w.kafka, w.network, topic, partitionOf(sick), gone)
		w.setFaults(nil)
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		letters := w.deadLetters()
		for _, d := range letters {
			if d.Reason != decision.Lost || d.Original.Offset < 64 || d.Original.Offset >= gone || d.DecisionKey == "" || d.Attempts != 0 {
				t.Errorf("dead letter %+v", d)
			}
		}
		if len(letters) != gone-64 {
			t.Errorf("%d dead letters, want %d", len(letters), gone-64)
		}
	})
}
