package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
)

// inPolicyWorld is inWorld with the topics of decide.
func inPolicyWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inPolicyWorldOf(t, sandbox.Options{}, test)
}

func inPolicyWorldOf(t *testing.T, api sandbox.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, api, func(t *testing.T, w *world) {
		w.createTopic(w.cfg.Kafka.Topics.CheckResults, partitions, nil)
		w.createTopic(policy.StateTopic, partitions, map[string]string{"cleanup.policy": "compact"})
		test(t, w)
	})
}

func (w *world) createTopic(topic string, n int, settings map[string]string) {
	w.t.Helper()
	if err := w.kafka.CreateTopic(topic, n, settings); err != nil {
		w.t.Fatal(err)
	}
}

// startDecide starts a decide by the default policy and the world's
// configuration, changed by change.
func (w *world) startDecide(change ...func(*configs.Config)) *member {
	w.t.Helper()
	return w.startDecideBy(policy.Default(), policy.StateTopic, change...)
}

func (w *world) startDecideBy(policies policy.Set, stateTopic string, change ...func(*configs.Config)) *member {
	w.t.Helper()
	cfg := w.cfg
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	m := &member{w: w, registry: prometheus.NewRegistry(), stopping: cancel, ended: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(&lockedWriter{mu: &w.mu, to: &w.logs}, nil))
	w.running[m] = struct{}{}
	go func() {
		m.ended <- app.Decide(ctx, cfg, policies, stateTopic, app.Options{Log: log, Registry: m.registry, DialKafka: w.network.DialContext})
	}()
	return m
}

// check makes a check result.
func (w *world) check(task decision.Task, id string, result decision.CheckResult) outgoing {
	return outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: task.ProfileID, value: fmt.Sprintf(
		`{"id":"delivery of %s","profile_id":%q,"task_id":%q,"check_id":%q,"decision":%q}`, id, task.ProfileID, task.TaskID, id, result)}
}

// sendChecks puts records into the topic of check results, which no result or
// dead letter of `run` is awaited for.
func (w *world) sendChecks(records ...outgoing) {
	w.t.Helper()
	w.send(records...)
	maps.DeleteFunc(w.submitted, func(at decision.Origin, _ sent) bool { return at.Topic == w.cfg.Kafka.Topics.CheckResults })
}

// awaitDecided waits until every check result is settled and committed by the
// group.
func (w *world) awaitDecided(group string) {
	w.t.Helper()
	topic := w.cfg.Kafka.Topics.CheckResults
	w.await(time.Minute, "every check result is committed", func() bool {
		for p := range partitions {
			offset, metadata, ok := w.kafka.Committed(group, topic, p)
			if end := w.kafka.HighWatermark(topic, p); end > 0 && (!ok || offset != end || metadata != "") {
				return false
			}
		}
		return true
	})
}

// published is a decision as decide published it.
type published struct {
	ID     string         `json:"id"`
	TaskID string         `json:"task_id"`
	State  decision.State `json:"state"`
	Reason string         `json:"reason"`
}

// decisions is every decision that was published, in order where it matters.
func (w *world) decisions() []published {
	w.t.Helper()
	var all []published
	for _, rec := range w.read(w.cfg.Kafka.Topics.Decisions) {
		var d published
		if err := json.Unmarshal(rec.Value, &d); err != nil {
			w.t.Fatal(err)
		}
		if string(rec.Key) == "" {
			w.t.Errorf("a decision without a key: %s", rec.Value)
		}
		all = append(all, d)
	}
	return all
}

// wantDecisions checks what was published, as "task state reason", each once
// under its ID; as often as times in all.
func (w *world) wantDecisions(times int, want ...string) {
	w.t.Helper()
	ids := make(map[string]string)
	all := w.decisions()
	for _, d := range all {
		ids[d.ID] = fmt.Sprintf("%s %s %s", d.TaskID, d.State, d.Reason)
	}
	got := slices.Sorted(maps.Values(ids))
	slices.Sort(want)
	if !slices.Equal(got, want) || len(all) != times {
		w.t.Errorf("%d decisions published: %q\nwant %d: %q", len(all), got, times, want)
	}
}

const decideGroupID = "verdict" + app.DecideGroup

// TestCheckResultsBecomeCompletedTasks: what the default policy decides is
// carried out, what it leaves to people is not, what can't be read is a dead
// letter as it came; and all of it shows in the metrics.
func TestCheckResultsBecomeCompletedTasks(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		run, decide := w.start(), w.startDecide()
		passed, failed, open := task(1, 1), task(2, 2), task(3, 3)
		broken := outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: "k", value: `{"decision":"GREEN"}`}
		webhook := outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: passed.ProfileID, value: `{"id":"e","event":"TASK_STATE_CHANGED","secret":"s3cr3t","timestamp":1,"data":{}}`}
		w.sendChecks(
			w.check(passed, "p1", decision.CheckWarn), w.check(passed, "p2", decision.CheckPass), w.check(passed, "p3", decision.CheckFail),
			w.check(failed, "f1", decision.CheckFail), w.check(failed, "f2", decision.CheckFail), w.check(failed, "f2", decision.CheckFail),
			w.check(failed, "f3", decision.CheckError), w.check(failed, "f4", decision.CheckFail),
			w.check(open, "o1", decision.CheckFail), w.check(open, "o2", decision.CheckFail), w.check(open, "o3", decision.CheckPartial),
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
			t.Errorf("%v tasks are held after the end", tasks)
		}
		run.stop()
		if strings.Contains(w.logs.String(), "s3cr3t") {
			t.Error("the webhook's secret is in the logs")
		}
	})
}

// TestAResultThatNamesItsTaskByAliasOrTypeIsDecided: the decision names the task in
// the same way, and run finds it.
func TestAResultThatNamesItsTaskByAliasOrTypeIsDecided(t *testing.T) {
	var d directory
	inPolicyWorldOf(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
		one, two := task(1, 1), task(1, 2)
		d.set(one, known(one, "docs", "T1"), known(two, "address", "T2"))
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

// TestAPartitionTakenOverInTheMiddleOfACount: two fails are counted by one
// instance and the third by another, which has the first two from the topic.
func TestAPartitionTakenOverInTheMiddleOfACount(t *testing.T) {
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
			inPolicyWorld(t, func(t *testing.T, w *world) {
				first := w.startDecide()
				var tasks []decision.Task
				for n := range 12 { // in every partition
					tasks = append(tasks, task(n, n))
					w.sendChecks(w.check(tasks[n], fmt.Sprintf("a%d", n), decision.CheckFail), w.check(tasks[n], fmt.Sprintf("b%d", n), decision.CheckFail))
				}
				w.awaitDecided(decideGroupID)
				if n := len(w.decisions()); n != 0 {
					t.Fatalf("%d decisions after two fails", n)
				}
				takeOver(w, first)
				var want []string
				for n, task := range tasks {
					w.sendChecks(w.check(task, fmt.Sprintf("c%d", n), decision.CheckFail))
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

// TestACrashBetweenTheCountsAndTheCommit: the counts are written and the commit
// is not, so the results are read again. They count neither twice nor not at all.
func TestACrashBetweenTheCountsAndTheCommit(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		one, two := task(1, 1), task(2, 2)
		fault := w.kafka.Inject(embedded.Fault{API: embedded.OffsetCommit, Group: decideGroupID, Code: int(kafka.GroupCoordinatorNotAvailable)})
		first := w.startDecide()
		w.sendChecks(w.check(one, "a", decision.CheckFail), w.check(one, "b", decision.CheckFail), w.check(two, "p", decision.CheckPass))
		w.await(time.Minute, "the counts are written", func() bool { return w.count(policy.StateTopic) == 2 })
		first.stop() // its last commit is refused as well
		fault.Lift()
		if offset, _, ok := w.kafka.Committed(decideGroupID, w.cfg.Kafka.Topics.CheckResults, partitionOf(one)); ok && offset > 0 {
			t.Fatalf("%d is committed; the test shows nothing", offset)
		}
		second := w.startDecide()
		w.awaitDecided(decideGroupID)
		if n := second.metric("verdict_policy_results_total", "effect", "duplicate"); n != 3 {
			t.Errorf("%v results were read again and known, want 3", n)
		}
		w.sendChecks(w.check(one, "c", decision.CheckFail), w.check(two, "q", decision.CheckPass))
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c", two.TaskID+" COMPLETED_PASS passed by check p")
		second.stop()
	})
}

// TestACrashBetweenTheDecisionAndTheCounts: the decision is published and the
// counts are not. The next owner decides again from the same results, under the
// same ID, and `run` carries it out once.
func TestACrashBetweenTheDecisionAndTheCounts(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		one := task(1, 1)
		run, first := w.start(), w.startDecide()
		w.sendChecks(w.check(one, "a", decision.CheckFail), w.check(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		fault := w.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: policy.StateTopic, Code: int(kafka.NotEnoughReplicas)})
		w.sendChecks(w.check(one, "c", decision.CheckFail))
		w.await(time.Minute, "the decision is carried out", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 1 })
		time.Sleep(10 * time.Second)
		first.stop() // gives up after the drain's time
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

// TestAReplayOfTheWholeInputCarriesOutNothingNew: read from its start by another
// group, or sent again, the input changes nothing while the counts are there; and
// where they are lost too, every decision comes out under the ID that it had.
func TestAReplayOfTheWholeInputCarriesOutNothingNew(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		run, first := w.start(), w.startDecide()
		var input []outgoing
		var want []string
		for n := range 20 {
			task := task(n, n)
			if n%2 == 0 {
				input = append(input, w.check(task, fmt.Sprintf("a%d", n), decision.CheckPass))
				want = append(want, fmt.Sprintf("%s COMPLETED_PASS passed by check a%d", task.TaskID, n))
				continue
			}
			for _, c := range "abc" {
				input = append(input, w.check(task, fmt.Sprintf("%c%d", c, n), decision.CheckFail))
			}
			want = append(want, fmt.Sprintf("%s COMPLETED_FAIL failed by 3 checks: a%d, b%d, c%d", task.TaskID, n, n, n))
		}
		w.sendChecks(input...)
		w.await(time.Minute, "all is carried out", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 20 })
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

// TestCountsWrittenLateByALostOwnerAreSortedOut: a state that an owner before
// wrote late lies behind newer ones. The present owner notices at its next write
// and writes its own again; one that restores takes the newer.
func TestCountsWrittenLateByALostOwnerAreSortedOut(t *testing.T) {
	for _, noticed := range []bool{true, false} {
		inPolicyWorld(t, func(t *testing.T, w *world) {
			one := task(1, 1)
			first := w.startDecide()
			w.sendChecks(w.check(one, "a", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			late := w.read(policy.StateTopic)[0]
			w.sendChecks(w.check(one, "b", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			if _, err := w.client.Append(t.Context(), policy.StateTopic, partitionOf(one), []decision.Record{{Key: late.Key, Value: late.Value}}); err != nil {
				t.Fatal(err)
			}
			if noticed {
				// Another task of the partition, whose count is written next.
				other := decision.NewTask(one.ProfileID, task(2, 2).TaskID)
				w.sendChecks(w.check(other, "x", decision.CheckFail))
				w.await(time.Minute, "the state is written again", func() bool { return w.count(policy.StateTopic) == 5 })
				states := w.read(policy.StateTopic)
				if last := states[4]; string(last.Key) != string(late.Key) || string(last.Value) != string(states[1].Value) {
					t.Errorf("written again: %s: %s", last.Key, last.Value)
				}
			}
			first.stop()
			second := w.startDecide()
			w.sendChecks(w.check(one, "c", decision.CheckFail))
			w.awaitDecided(decideGroupID)
			w.wantDecisions(1, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c")
			second.stop()
		})
	}
}

// TestOldCountsAreForgotten: a task whose counts are older than forget_after has
// none any more, in memory and in the topic.
func TestOldCountsAreForgotten(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		set, faults := policy.Parse("p", []byte("forget_after: 1h\npolicies: [{fail: {on: [FAIL], times: 2}}]"))
		if faults != nil {
			t.Fatal(faults)
		}
		m := w.startDecideBy(set, policy.StateTopic)
		one := task(1, 1)
		w.sendChecks(w.check(one, "a", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		time.Sleep(75 * time.Minute) // a look every ten
		if n := m.metric("verdict_policy_tasks"); n != 0 {
			t.Errorf("%v tasks", n)
		}
		if states := w.read(policy.StateTopic); len(states) != 2 || states[1].Value != nil {
			t.Errorf("no tombstone: %v", states)
		}
		w.sendChecks(w.check(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		w.wantDecisions(0)
		m.stop()
	})
}

// TestDecideWaitsForKafka: while Kafka is away it waits, and loses nothing.
func TestDecideWaitsForKafka(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		w.network.Cut()
		m := w.startDecide()
		time.Sleep(time.Minute)
		w.network.Mend()
		one := task(1, 1)
		w.sendChecks(w.check(one, "a", decision.CheckFail), w.check(one, "b", decision.CheckFail))
		w.awaitDecided(decideGroupID)
		w.network.Cut()
		time.Sleep(2 * time.Minute)
		w.network.Mend()
		w.sendChecks(w.check(one, "c", decision.CheckFail))
		w.await(5*time.Minute, "it is decided", func() bool { return w.count(w.cfg.Kafka.Topics.Decisions) > 0 })
		w.awaitDecided(decideGroupID)
		w.wantDecisions(1, one.TaskID+" COMPLETED_FAIL failed by 3 checks: a, b, c")
		m.stop()
	})
}

// TestAStateTopicThatIsNotFitIsSaid: with what mends it, before the first result
// is read.
func TestAStateTopicThatIsNotFitIsSaid(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		w.createTopic("narrow", partitions-1, map[string]string{"cleanup.policy": "compact"})
		w.createTopic("deleting", partitions, map[string]string{"cleanup.policy": "delete"})
		for topic, want := range map[string]string{
			"missing":  "topic missing does not exist, and counts are kept in it; create it (`verdict topics`)",
			"narrow":   "topic narrow has 3 partitions, and task-check-results has 4",
			"deleting": "topic deleting has cleanup.policy=delete, which would delete counts; set it to compact",
		} {
			m := w.startDecideBy(policy.Default(), topic)
			if err := <-m.ended; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", topic, err)
			}
			delete(w.running, m)
		}
	})
}

// TestAStateThatCanNotBeReadHoldsItsPartition: nothing is decided from counts
// that are not known.
func TestAStateThatCanNotBeReadHoldsItsPartition(t *testing.T) {
	inPolicyWorld(t, func(t *testing.T, w *world) {
		one := task(1, 1)
		var other decision.Task // of another partition
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
		w.sendChecks(w.check(one, "a", decision.CheckPass), w.check(other, "b", decision.CheckPass))
		w.await(time.Minute, "the other partition goes on", func() bool { return w.count(w.cfg.Kafka.Topics.Decisions) == 1 })
		time.Sleep(time.Minute)
		w.wantDecisions(1, other.TaskID+" COMPLETED_PASS passed by check b")
		put(nil)
		w.awaitDecided(decideGroupID)
		w.wantDecisions(2, one.TaskID+" COMPLETED_PASS passed by check a", other.TaskID+" COMPLETED_PASS passed by check b")
		m.stop()
	})
}
