package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
)

// TestDecideCountsAcrossATakeover has one instance count two fails and another the
// third. The second instance knows the first two from the topic.
func TestDecideCountsAcrossATakeover(t *testing.T) {
	for name, takeOver := range map[string]func(w *world, first *member){
		"a stop": func(w *world, first *member) {
			first.stop()
			w.startDecide()
		},
		"a member that joins": func(w *world, first *member) {
			second := w.startDecide()
			w.await(time.Minute, "the partitions are shared", func() bool {
				return first.metric("verdict_partitions_assigned") == partitions/2 && second.metric("verdict_partitions_assigned") == partitions/2
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				first := w.startDecide()
				var tasks []decision.Task
				for n := range 12 { // in every partition
					tasks = append(tasks, task(n, n))
					w.sendChecks(w.checkResult(tasks[n], fmt.Sprintf("a%d", n), decision.CheckFail), w.checkResult(tasks[n], fmt.Sprintf("b%d", n), decision.CheckFail))
				}
				w.awaitDecided(decideGroupID)
				if n := len(w.decisions()); n != 0 {
					t.Fatalf("%d decisions after two fails", n)
				}
				takeOver(w, first)
				var want []string
				for n, task := range tasks {
					w.sendChecks(w.checkResult(task, fmt.Sprintf("c%d", n), decision.CheckFail))
					want = append(want, fmt.Sprintf("%s COMPLETED_FAIL failed by 3 checks: a%d, b%d, c%d", task.TaskID, n, n, n))
				}
				w.awaitDecided(decideGroupID)
				w.wantDecisions(len(tasks), want...)
				for m := range w.running {
					m.stop()
				}
			})
		})
	}
}

// TestDecideCrashBeforeTheCommitCountsOnce loses the commit after the counts were
// written, so that the results are read again.
func TestDecideCrashBeforeTheCommitCountsOnce(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		one, two := task(1, 1), task(2, 2)
		fault := w.kafka.Inject(embedded.Fault{API: embedded.OffsetCommit, Group: decideGroupID, Code: int(kafka.GroupCoordinatorNotAvailable)})
		first := w.startDecide()
		w.sendChecks(w.checkResult(one, "a", decision.CheckFail), w.checkResult(one, "b", decision.CheckFail), w.checkResult(two, "p", decision.CheckPass))
		w.await(time.Minute, "the counts are written", func() bool { return w.count(policy.StateTopic) == 2 })
		first.stop() // its last commit fails as well
		fault.Lift()
		if offset, _, ok := w.kafka.Committed(decideGroupID, w.cfg.Kafka.Topics.CheckResults, partitionOf(one)); ok && offset > 0 {
			t.Fatalf("%d is committed, so the test shows nothing", offset)
		}
		second := w.startDecide()
		w.awaitDecided(decideGroupID)
		if n := second.metric("verdict_policy_results_total", "effect", "duplicate"); n != 3 {
			t.Errorf("%v results were read again and found to be counted, want 3", n)
		}
		w.sendChecks(w.checkResult(one, "c", decision.CheckFail), w.checkResult(two, "q", decision.CheckPass))
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c", two.TaskID+" COMPLETED_PASS passed by check p")
		second.stop()
	})
}

// TestDecideCrashBeforeTheCountsDecidesOnce loses the counts after the decision was
// published. The next owner decides again from the same results, under the same ID,
// and `run` carries the decision out once.
func TestDecideCrashBeforeTheCountsDecidesOnce(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		one := task(1, 1)
		run, first := w.start(), w.startDecide()
		w.sendChecks(w.checkResult(one, "a", decision.CheckFail), w.checkResult(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		fault := w.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: policy.StateTopic, Code: int(kafka.NotEnoughReplicas)})
		w.sendChecks(w.checkResult(one, "c", decision.CheckFail))
		w.await(time.Minute, "the decision is carried out", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 1 })
		time.Sleep(10 * time.Second)
		first.stop() // gives up when the time for the drain is over
		fault.Lift()
		second := w.startDecide()
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c")
		w.await(time.Minute, "the repeated decision is settled", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 2 })
		if n := len(w.completions()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		if n := run.metric("verdict_decisions_total", "outcome", "duplicate"); n != 1 {
			t.Errorf("%v duplicates, want 1", n)
		}
		second.stop()
		run.stop()
	})
}

// TestDecideReplayChangesNothing has another group read the input from its start, and
// sends the input again. With the counts lost as well, every decision is published
// again under its old ID.
func TestDecideReplayChangesNothing(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		run, first := w.start(), w.startDecide()
		var input []outgoing
		var want []string
		for n := range 20 {
			task := task(n, n)
			if n%2 == 0 {
				input = append(input, w.checkResult(task, fmt.Sprintf("a%d", n), decision.CheckPass))
				want = append(want, fmt.Sprintf("%s COMPLETED_PASS passed by check a%d", task.TaskID, n))
				continue
			}
			for _, c := range "abc" {
				input = append(input, w.checkResult(task, fmt.Sprintf("%c%d", c, n), decision.CheckFail))
			}
			want = append(want, fmt.Sprintf("%s COMPLETED_FAIL failed by 3 checks: a%d, b%d, c%d", task.TaskID, n, n, n))
		}
		w.sendChecks(input...)
		w.await(time.Minute, "every decision is carried out", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 20 })
		w.awaitDecided(decideGroupID)
		w.wantDecisions(20, want...)
		first.stop()

		again := w.startDecide(func(c *configs.Config) { c.Kafka.GroupID = "again" })
		w.awaitDecided("again" + app.DecideGroup)
		w.sendChecks(input...)
		w.awaitDecided("again" + app.DecideGroup)
		w.wantDecisions(20, want...)
		again.stop()

		w.createTopic("empty-state", partitions, map[string]string{"cleanup.policy": "compact"})
		lost := w.startDecideBy(policy.Default(), "empty-state", func(c *configs.Config) { c.Kafka.GroupID = "lost" })
		w.awaitDecided("lost" + app.DecideGroup)
		w.wantDecisions(40, want...)
		w.await(time.Minute, "the repeated decisions are settled", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 40 })
		if n := len(w.completions()); n != 20 {
			t.Errorf("%d calls, want 20", n)
		}
		lost.stop()
		run.stop()
	})
}

// TestDecideIgnoresCountsWrittenLate puts a state of a former owner behind newer ones.
// The present owner notices at its next write, and writes its own state again. An owner
// that restores the counts takes the newer state.
func TestDecideIgnoresCountsWrittenLate(t *testing.T) {
	for _, noticed := range []bool{true, false} {
		inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
			one := task(1, 1)
			first := w.startDecide()
			w.sendChecks(w.checkResult(one, "a", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			late := w.read(policy.StateTopic)[0]
			w.sendChecks(w.checkResult(one, "b", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			if _, err := w.client.Append(t.Context(), policy.StateTopic, partitionOf(one), []decision.Record{{Key: late.Key, Value: late.Value}}); err != nil {
				t.Fatal(err)
			}
			if noticed {
				// Another task of the partition, whose count is written next.
				other := decision.NewTask(one.ProfileID, task(2, 2).TaskID)
				w.sendChecks(w.checkResult(other, "x", decision.CheckFail))
				w.await(time.Minute, "the state is written again", func() bool { return w.count(policy.StateTopic) == 5 })
				states := w.read(policy.StateTopic)
				if last := states[4]; string(last.Key) != string(late.Key) || string(last.Value) != string(states[1].Value) {
					t.Errorf("written again: %s: %s", last.Key, last.Value)
				}
			}
			first.stop()
			second := w.startDecide()
			w.sendChecks(w.checkResult(one, "c", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			w.wantDecisions(1, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c")
			second.stop()
		})
	}
}

// TestDecideHoldsAPartitionWithAnUnreadableState also shows that other partitions go
// on.
func TestDecideHoldsAPartitionWithAnUnreadableState(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		one := task(1, 1)
		var other decision.Task // in another partition
		for n := 2; ; n++ {
			if other = task(n, n); partitionOf(other) != partitionOf(one) {
				break
			}
		}
		key := []byte(one.ProfileID + "/id/" + one.TaskID)
		put := func(value []byte) {
			if _, err := w.client.Append(t.Context(), policy.StateTopic, partitionOf(one), []decision.Record{{Key: key, Value: value}}); err != nil {
				t.Fatal(err)
			}
		}
		put([]byte(`{"v":2}`))
		m := w.startDecide()
		w.sendChecks(w.checkResult(one, "a", decision.CheckPass), w.checkResult(other, "b", decision.CheckPass))
		w.await(time.Minute, "the other partition goes on", func() bool { return w.count(w.cfg.Kafka.Topics.Decisions) == 1 })
		time.Sleep(time.Minute)
		w.wantDecisions(1, other.TaskID+" COMPLETED_PASS passed by check b")
		put(nil)
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, one.TaskID+" COMPLETED_PASS passed by check a", other.TaskID+" COMPLETED_PASS passed by check b")
		m.stop()
	})
}
