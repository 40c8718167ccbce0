package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
)

// TestDecideCompletesTasksFromCheckResults has tasks that the default policy decides
// and one that it leaves to people, a result that is not JSON of the right form, and
// another event of the webhook.
func TestDecideCompletesTasksFromCheckResults(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		run, decide := w.start(), w.startDecide()
		passed, failed, open := task(1, 1), task(2, 2), task(3, 3)
		broken := outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: "k", value: `{"decision":"GREEN"}`}
		webhook := outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: passed.ProfileID, value: `{"id":"e","event":"TASK_STATE_CHANGED","secret":"s3cr3t","timestamp":1,"data":{}}`}
		w.sendChecks(
			w.checkResult(passed, "p1", decision.CheckWarn), w.checkResult(passed, "p2", decision.CheckPass), w.checkResult(passed, "p3", decision.CheckFail),
			w.checkResult(failed, "f1", decision.CheckFail), w.checkResult(failed, "f2", decision.CheckFail), w.checkResult(failed, "f2", decision.CheckFail),
			w.checkResult(failed, "f3", decision.CheckError), w.checkResult(failed, "f4", decision.CheckFail),
			w.checkResult(open, "o1", decision.CheckFail), w.checkResult(open, "o2", decision.CheckFail), w.checkResult(open, "o3", decision.CheckPartial),
			broken, webhook,
		)
		w.await(time.Minute, "both tasks are complete", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 2 })
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, passed.TaskID+" COMPLETED_PASS passed by check p2", failed.TaskID+" COMPLETED_FAIL failed by 3 checks: f1, f2, f4")
		var states []string
		for _, c := range w.completions() {
			states = append(states, c.TaskID+" "+string(c.State))
		}
		slices.Sort(states)
		if want := []string{passed.TaskID + " COMPLETED_PASS", failed.TaskID + " COMPLETED_FAIL"}; !slices.Equal(states, want) {
			t.Errorf("completed %v, want %v", states, want)
		}
		letters := w.deadLetters()
		if len(letters) != 1 || letters[0].Reason != decision.InvalidEvent || string(letters[0].Original.Value) != broken.value ||
			string(letters[0].Original.Key) != "k" || letters[0].Original.Topic != broken.topic {
			t.Errorf("dead letters %+v", letters)
		}
		for _, c := range []struct {
			result, effect string
			want           float64
		}{
			{"PASS", "decided", 1}, {"FAIL", "decided", 1}, {"FAIL", "counted", 4}, {"FAIL", "duplicate", 1}, {"FAIL", "already_decided", 1},
			{"WARN", "ignored", 1}, {"ERROR", "ignored", 1}, {"PARTIAL", "ignored", 1},
			{"unreadable", "dead_lettered", 1}, {"other_event", "ignored", 1},
		} {
			if got := decide.metric("verdict_policy_results_total", "result", c.result, "effect", c.effect); got != c.want {
				t.Errorf("results %s %s: %v, want %v", c.result, c.effect, got, c.want)
			}
		}
		if n := decide.metric("verdict_policy_results_total"); n != 13 {
			t.Errorf("%v results in all, want 13", n)
		}
		if pass, fail, tasks := decide.metric("verdict_policy_decisions_total", "state", "COMPLETED_PASS"),
			decide.metric("verdict_policy_decisions_total", "state", "COMPLETED_FAIL"), decide.metric("verdict_policy_tasks"); pass != 1 || fail != 1 || tasks != 3 {
			t.Errorf("metrics: %v passed, %v failed, %v tasks", pass, fail, tasks)
		}
		decide.stop()
		if tasks := decide.metric("verdict_policy_tasks"); tasks != 0 {
			t.Errorf("%v tasks in the metric after the end", tasks)
		}
		run.stop()
		if strings.Contains(w.logs.String(), "s3cr3t") {
			t.Error("the webhook's secret is in the logs")
		}
	})
}

// TestDecideAcceptsTasksByAliasOrType shows that a decision names its task as the check
// results do, and that `run` finds it.
func TestDecideAcceptsTasksByAliasOrType(t *testing.T) {
	var d directory
	inPolicyWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
		one, two := task(1, 1), task(1, 2)
		d.set(one, listed(one, "docs", "T1"), listed(two, "address", "T2"))
		run, decide := w.start(), w.startDecide()
		named := func(member, key, check, result string) outgoing {
			return outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: one.ProfileID, value: fmt.Sprintf(
				`{"profile_id":%q,"task":{%q:%q},"check_id":%q,"decision":%q}`, one.ProfileID, member, key, check, result)}
		}
		w.sendChecks(
			named("alias", "docs", "a", "PASS"),
			named("type", "T2", "b", "FAIL"), named("type", "T2", "c", "FAIL"), named("type", "T2", "d", "FAIL"),
		)
		w.await(time.Minute, "both are settled", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 2 })
		var got []string
		for _, r := range w.results() {
			got = append(got, r.TaskID+" "+string(r.State)+" "+string(r.Outcome))
		}
		slices.Sort(got)
		if want := []string{one.TaskID + " COMPLETED_PASS completed", two.TaskID + " COMPLETED_FAIL completed"}; !slices.Equal(got, want) {
			t.Errorf("results %v, want %v", got, want)
		}
		decide.stop()
		run.stop()
	})
}

// TestDecideForgetsOldCounts shows that counts older than forget_after leave memory
// and the topic.
func TestDecideForgetsOldCounts(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		set, faults := policy.Parse("p", []byte("forget_after: 1h\npolicies: [{fail: {on: [FAIL], times: 2}}]"))
		if faults != nil {
			t.Fatal(faults)
		}
		m := w.startDecideBy(set, policy.StateTopic)
		one := task(1, 1)
		w.sendChecks(w.checkResult(one, "a", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		time.Sleep(75 * time.Minute) // old counts are looked for every ten
		if n := m.metric("verdict_policy_tasks"); n != 0 {
			t.Errorf("%v tasks in the metric, want none", n)
		}
		if states := w.read(policy.StateTopic); len(states) != 2 || states[1].Value != nil {
			t.Errorf("no tombstone: %v", states)
		}
		w.sendChecks(w.checkResult(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		w.wantDecisions(0)
		m.stop()
	})
}

// TestDecideWaitsForKafka cuts Kafka off at the start and in the middle.
func TestDecideWaitsForKafka(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.network.Cut()
		m := w.startDecide()
		time.Sleep(time.Minute)
		w.network.Mend()
		one := task(1, 1)
		w.sendChecks(w.checkResult(one, "a", decision.CheckFail), w.checkResult(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		w.network.Cut()
		time.Sleep(2 * time.Minute)
		w.network.Mend()
		w.sendChecks(w.checkResult(one, "c", decision.CheckFail))
		w.await(5*time.Minute, "the task is decided", func() bool { return w.count(w.cfg.Kafka.Topics.Decisions) > 0 })
		w.awaitDecided(decideGroupID)
		w.wantDecisions(1, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c")
		m.stop()
	})
}

func TestDecideRejectsAnUnfitStateTopic(t *testing.T) {
	inPolicyWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.createTopic("narrow", partitions-1, map[string]string{"cleanup.policy": "compact"})
		w.createTopic("deleting", partitions, map[string]string{"cleanup.policy": "delete"})
		for topic, want := range map[string]string{
			"missing":  "topic missing does not exist, and counts are kept in it; create it (`verdict topics`)",
			"narrow":   "topic narrow has 3 partitions, and task-check-results has 4",
			"deleting": "topic deleting has cleanup.policy=delete, which would delete counts; set it to compact",
		} {
			m := w.startDecideBy(policy.Default(), topic)
			if err := m.wait(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", topic, err)
			}
		}
	})
}
