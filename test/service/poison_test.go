package service_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// poisoned makes every completion of a profile fail with 500.
func poisoned(profileID string) func(sandbox.Call) sandbox.Fault {
	return func(c sandbox.Call) sandbox.Fault {
		if c.ProfileID == profileID && c.Operation == passfort.OpComplete {
			return answer(500, "")
		}
		return sandbox.Fault{}
	}
}

// TestTasksThatAlwaysFailDoNotStopTheOthers sends the decisions that always fail
// first, so that they pause the lane before any other was tried.
func TestTasksThatAlwaysFailDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for _, bad := range []int{2, 12, 40} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 50 * time.Millisecond}, func(t *testing.T, w *world) {
				const good = 500
				w.setFaults(poisoned(task(7, 0).ProfileID))
				topic := w.cfg.Kafka.Topics.Decisions
				var records []outgoing
				for i := range bad {
					records = append(records, decisionOn(topic, task(7, i), decision.CompletedPass))
				}
				for i := range good {
					records = append(records, decisionOn(topic, task(1000+i, i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start()
				began := time.Now()
				w.await(10*time.Minute, "the good decisions are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == good })
				t.Logf("%d bad: the good ones took %v", bad, time.Since(began))
				m.stop()
			})
		})
	}
}

// TestFailingBackfillDoesNotSlowLive has every task of the backfill fail.
func TestFailingBackfillDoesNotSlowLive(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.setFaults(poisoned(task(7, 0).ProfileID))
		var backfill []outgoing
		for i := range 2000 {
			backfill = append(backfill, decisionOn(w.cfg.Kafka.Topics.Backfill, task(7, i), decision.CompletedPass))
		}
		w.send(backfill...)
		m := w.start()
		w.await(time.Minute, "backfill is paused", func() bool {
			return m.metric("verdict_lane_paused", "lane", "backfill", "cause", "outage") == 1
		})
		sentAt := make(map[decision.Task]time.Time)
		for i := range 100 {
			d := decisionOn(w.cfg.Kafka.Topics.Decisions, task(1000+i, i), decision.CompletedPass)
			sentAt[d.task] = time.Now()
			w.send(d)
			time.Sleep(700 * time.Millisecond)
		}
		if m.metric("verdict_lane_paused", "lane", "live", "cause", "outage") != 0 {
			t.Error("live is paused")
		}
		var waits []time.Duration
		for _, c := range w.completions() {
			if at, ok := sentAt[decision.NewTask(c.ProfileID, c.TaskID)]; ok {
				waits = append(waits, c.Time.Sub(at))
			}
		}
		if slices.Sort(waits); len(waits) != len(sentAt) || waits[len(waits)-1] > time.Second {
			t.Errorf("%d of %d live decisions were called for, the last after %v", len(waits), len(sentAt), waits[len(waits)-1])
		}
		m.stop()
	})
}
