package service_test

import (
	"fmt"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// profileQuiet is less than the time that a result waits for a profile with open
// decisions.
const profileQuiet = 2 * time.Second

func TestBurstForOneProfileListsItOnce(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 30 * time.Millisecond, Jitter: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 60, 10
		var records []outgoing
		const profiles, tasks = 5, 30
		for i := range profiles * tasks {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i%profiles, i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(withProfiles)
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkRate(60, 10)
		for _, r := range w.results() {
			if r.Profile == nil || *r.Profile != (decision.Profile{Outcome: decision.AllPassed}) {
				t.Errorf("the profile is %+v", r.Profile)
			}
		}
		if lists := len(w.callsOf(passfort.OpListTasks)); lists != profiles {
			t.Errorf("%d lists of %d profiles", lists, profiles)
		}
	})
}

// TestDecisionsOnOneTaskDoNotWaitForTheProfile sends several decisions on each task of
// a profile. A decision that follows another on its task must not wait for the list of
// the profile, so the profile is listed as often as its busiest task has decisions.
func TestDecisionsOnOneTaskDoNotWaitForTheProfile(t *testing.T) {
	var d directory
	d.set(task(1, 0), listed(task(1, 0), "a0", "T"), listed(task(1, 1), "a1", "T"), listed(task(1, 2), "a2", "T"), listed(task(1, 3), "a3", "T"))
	for name, c := range map[string]struct {
		make  func(topic string, i int) outgoing
		lists int
	}{
		"by ID": {func(topic string, i int) outgoing { return decisionOn(topic, task(1, i), decision.CompletedPass) }, 3},
		"by alias": {func(topic string, i int) outgoing {
			return decisionByKey(topic, task(1, i), "alias", fmt.Sprint("a", i), decision.CompletedPass)
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{Profiles: d.tasks, Latency: 30 * time.Millisecond}, func(t *testing.T, w *world) {
				m := w.start(withProfiles)
				m.awaitJoined()
				began := time.Now()
				for i := range 12 {
					w.send(c.make(w.cfg.Kafka.Topics.Decisions, i%4))
					time.Sleep(5 * time.Millisecond)
				}
				w.awaitAll(time.Minute)
				if took := time.Since(began); took > profileQuiet {
					t.Errorf("took %v", took)
				}
				m.stop()
				w.checkOrder(w.checkSettledOnce())
				if lists := len(w.callsOf(passfort.OpListTasks)); lists != c.lists {
					t.Errorf("%d lists for three decisions on each task", lists)
				}
			})
		})
	}
}

func TestProfileIsListedAfterTheLastLookup(t *testing.T) {
	var d directory
	d.set(task(1, 1), listed(task(1, 1), "a", "T"))
	inWorld(t, sandbox.Options{Profiles: d.tasks, Latency: 30 * time.Millisecond}, func(t *testing.T, w *world) {
		m := w.start(withProfiles)
		m.awaitJoined()
		began := time.Now()
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
		time.Sleep(60 * time.Millisecond) // the first is completed, and its result is held
		w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedFail))
		w.awaitAll(time.Minute)
		if took := time.Since(began); took > profileQuiet {
			t.Errorf("took %v", took)
		}
		m.stop()
		w.checkOrder(w.checkSettledOnce())
	})
}

func TestSteadyStreamHoldsNoResultForLong(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 200 * time.Millisecond}, func(t *testing.T, w *world) {
		m := w.start(withProfiles)
		m.awaitJoined()
		for i := range 300 { // one every 100 ms, so the profile always has open decisions
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, i), decision.CompletedPass))
			time.Sleep(100 * time.Millisecond)
			if i == 100 && w.count(w.cfg.Kafka.Topics.Results) == 0 {
				t.Error("no result after ten seconds")
			}
		}
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		without := 0
		for _, r := range w.results() {
			if r.Profile == nil {
				without++
			}
		}
		if lists := len(w.callsOf(passfort.OpListTasks)); without > 0 || lists > 10 {
			t.Errorf("%d results without their profile, %d lists in 30 s", without, lists)
		}
	})
}

func TestDrainSettlesEveryCompletedDecision(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"lists work": {}, "lists fail": answer(503, ""), "lists hang": {Do: sandbox.Hang}, "429": answer(429, ""),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{Latency: 300 * time.Millisecond}, func(t *testing.T, w *world) {
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpListTasks {
						return fault
					}
					return sandbox.Fault{}
				})
				// The results wait for the decision on stuck, which is never settled.
				stuck := task(1, 1)
				slow := w.faults
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == stuck.TaskID {
						return answer(503, "")
					}
					return slow(call)
				})
				records := []outgoing{decisionOn(w.cfg.Kafka.Topics.Decisions, stuck, decision.CompletedPass)}
				for i := range 50 {
					records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start(withProfiles, func(c *configs.Config) { c.Processor.MaxAttempts = 1000 })
				w.await(time.Minute, "all but one are called", func() bool { return len(w.completions()) > 50 })
				time.Sleep(time.Second) // their results are held
				if n := w.count(w.cfg.Kafka.Topics.Results); n != 0 {
					t.Fatalf("%d results before the stop, want none", n)
				}
				began := time.Now()
				m.stop()
				if took := time.Since(began); took > w.cfg.Processor.ShutdownTimeout+2*time.Second || fault.Status == 503 && took > 3*time.Second {
					t.Errorf("the stop took %v", took)
				}
				if n := w.count(w.cfg.Kafka.Topics.Results); n != 50 {
					t.Errorf("%d results after the stop, want 50", n)
				}
				for _, r := range w.results() {
					if (r.Profile != nil) != (fault.Do == sandbox.Proceed) {
						t.Errorf("result with the profile %+v", r.Profile)
					}
				}
				w.setFaults(nil)
				m = w.start(withProfiles)
				w.awaitAll(time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				for i := range 50 {
					if n := w.api.Completions(stuck.ProfileID, task(1, 2+i).TaskID); n != 1 {
						t.Errorf("task %d was completed %d times", i, n)
					}
				}
			})
		})
	}
}

// TestHeldResultsAreBounded has a profile with a decision that is never settled, and
// with more others than may be held.
func TestHeldResultsAreBounded(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		const workers, n = 4, 300
		never := task(1, 0)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == never.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decisionOn(w.cfg.Kafka.Topics.Decisions, never, decision.CompletedPass)}
		for i := range n {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(withProfiles, func(c *configs.Config) { c.Processor.Workers, c.Processor.MaxAttempts = workers, 1000 })
		most := 0
		w.await(time.Minute, "all others are settled", func() bool {
			open := len(w.completions()) - int(m.metric("verdict_retries_total")) - w.count(w.cfg.Kafka.Topics.Results)
			most = max(most, open)
			return w.count(w.cfg.Kafka.Topics.Results) == n
		})
		if most < 4*workers/2 || most > 4*workers+2*workers {
			t.Errorf("up to %d decisions were completed but not settled, want about %d", most, 4*workers)
		}
		w.setFaults(nil)
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		for _, r := range w.results() {
			if r.Profile == nil {
				t.Error("a result without its profile")
			}
		}
	})
}

// TestCrashWhileResultsAreHeldRepeatsNoCompletion cuts the service off from Kafka and
// stops it. Kafka sees no difference to a crash.
func TestCrashWhileResultsAreHeldRepeatsNoCompletion(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		stuck := task(1, 1)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == stuck.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decisionOn(w.cfg.Kafka.Topics.Decisions, stuck, decision.CompletedPass)}
		for i := range 50 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(withProfiles)
		w.await(time.Minute, "all but one are called", func() bool { return len(w.completions()) > 50 })
		time.Sleep(time.Second) // more than a commit's interval
		w.network.Cut(w.kafka.Addrs()...)
		delete(w.running, m)
		m.cancel()
		_ = m.wait()
		w.network.Mend(w.kafka.Addrs()...)
		if n := w.count(w.cfg.Kafka.Topics.Results); n != 0 {
			t.Fatalf("%d results were published, want none", n)
		}
		w.setFaults(nil)
		m = w.start(withProfiles)
		w.awaitAll(10 * time.Minute)
		m.stop()
		found := 0
		for _, outcome := range w.checkSettledOnce() {
			if outcome == "already_complete" {
				found++
			}
		}
		w.checkCommitted()
		if n := w.api.Stats().RepeatCompletions; n != 0 || found != 50 {
			t.Errorf("%d tasks were completed again; %d of 50 were found complete", n, found)
		}
	})
}
