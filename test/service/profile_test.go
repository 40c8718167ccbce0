package service_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func withProfiles(c *configs.Config) { c.Processor.ProfileOutcome = true }

func TestAResultCarriesTheOutcomeOfItsProfile(t *testing.T) {
	in := func(t passfort.Task, s decision.State) passfort.Task { t.State = s; return t }
	for name, c := range map[string]struct {
		others []passfort.Task // beside the one that is completed
		state  decision.State
		want   decision.Profile
	}{
		"alone, passed":            {nil, decision.CompletedPass, decision.Profile{Outcome: decision.AllPassed}},
		"alone, failed":            {nil, decision.CompletedFail, decision.Profile{Outcome: decision.SomeFailed, FailedTasks: 1}},
		"others open":              {[]passfort.Task{known(task(1, 2), "b", "T"), known(task(1, 3), "c", "T")}, decision.CompletedPass, decision.Profile{Outcome: decision.Open, OpenTasks: 2}},
		"failed, and others open":  {[]passfort.Task{known(task(1, 2), "b", "T")}, decision.CompletedFail, decision.Profile{Outcome: decision.SomeFailed, OpenTasks: 1, FailedTasks: 1}},
		"skipped and expired ones": {[]passfort.Task{skipped(known(task(1, 2), "b", "T")), expired(known(task(1, 3), "c", "T")), expired(in(known(task(1, 4), "d", "T"), decision.CompletedFail))}, decision.CompletedPass, decision.Profile{Outcome: decision.AllPassed}},
		"others passed and failed": {[]passfort.Task{in(known(task(1, 2), "b", "T"), decision.CompletedPass), in(known(task(1, 3), "c", "T"), decision.CompletedFail)}, decision.CompletedPass, decision.Profile{Outcome: decision.SomeFailed, FailedTasks: 1}},
		"an unknown state":         {[]passfort.Task{in(known(task(1, 2), "b", "T"), "PONDERING")}, decision.CompletedPass, decision.Profile{Outcome: decision.Open, OpenTasks: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), append(c.others, known(task(1, 1), "a", "T"))...)
			inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
				w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), c.state))
				m := w.start(withProfiles)
				w.awaitAll(time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				for _, r := range w.results() {
					if r.Profile == nil || *r.Profile != c.want || r.Outcome != decision.Completed || r.Attempts != 1 {
						t.Errorf("result %+v with %+v, want %+v", r, r.Profile, c.want)
					}
				}
			})
		})
	}
}

func TestWithoutTheSettingNothingIsLookedAt(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 20)...)
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, r := range w.results() {
			if r.Profile != nil {
				t.Errorf("result %+v", r)
			}
		}
		if n := len(w.allCalls()); n != 20 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestABurstForOneProfileCostsOneLook(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 30 * time.Millisecond, Jitter: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 60, 10
		var records []outgoing
		const profiles, tasks = 5, 30
		for i := range profiles * tasks {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(i%profiles, i), decision.CompletedPass))
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
		if looks := w.made(passfort.OpListTasks); looks != profiles {
			t.Errorf("%d looks at %d profiles", looks, profiles)
		}
	})
}

// TestDecisionsOnOneTaskDoNotWaitForEachOthersLook has the profile's busiest
// task say how many looks there are.
func TestDecisionsOnOneTaskDoNotWaitForEachOthersLook(t *testing.T) {
	var d directory
	d.set(task(1, 0), known(task(1, 0), "a0", "T"), known(task(1, 1), "a1", "T"), known(task(1, 2), "a2", "T"), known(task(1, 3), "a3", "T"))
	for name, c := range map[string]struct {
		make  func(topic string, i int) outgoing
		lists int
	}{
		"by ID": {func(topic string, i int) outgoing { return decide(topic, task(1, i), decision.CompletedPass) }, 3},
		"by alias": {func(topic string, i int) outgoing {
			return byKey(topic, task(1, i), "alias", fmt.Sprint("a", i), decision.CompletedPass)
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{Profiles: d.of, Latency: 30 * time.Millisecond}, func(t *testing.T, w *world) {
				m := w.start(withProfiles)
				w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
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
				if lists := w.made(passfort.OpListTasks); lists != c.lists {
					t.Errorf("%d lists for three decisions on each task", lists)
				}
			})
		})
	}
}

func TestAProfileIsQuietOnceTheLastLookUpIsDone(t *testing.T) {
	var d directory
	d.set(task(1, 1), known(task(1, 1), "a", "T"))
	inWorld(t, sandbox.Options{Profiles: d.of, Latency: 30 * time.Millisecond}, func(t *testing.T, w *world) {
		m := w.start(withProfiles)
		w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
		began := time.Now()
		w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
		time.Sleep(60 * time.Millisecond) // it is done, and held
		w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedFail))
		w.awaitAll(time.Minute)
		if took := time.Since(began); took > profileQuiet {
			t.Errorf("took %v", took)
		}
		m.stop()
		w.checkOrder(w.checkSettledOnce())
	})
}

// profileQuiet is less than a result waits for a profile that is not quiet.
const profileQuiet = 2 * time.Second

func TestASteadyStreamForOneProfileHoldsNoResultForEver(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 200 * time.Millisecond}, func(t *testing.T, w *world) {
		m := w.start(withProfiles)
		w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
		for i := range 300 { // one every 100 ms: the profile is never quiet
			w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, i), decision.CompletedPass))
			time.Sleep(100 * time.Millisecond)
			if i == 100 && w.count(w.cfg.Kafka.Topics.Results) == 0 {
				t.Error("no result after ten seconds")
			}
		}
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		late := 0
		for _, r := range w.results() {
			if r.Profile == nil {
				late++
			}
		}
		if looks := w.made(passfort.OpListTasks); late > 0 || looks > 10 {
			t.Errorf("%d results without their profile, %d looks in 30 s", late, looks)
		}
	})
}

func TestALookThatFailsLosesNoResult(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		times int64 // 0: always
		looks int
		known bool // the outcome is known in the end
	}{
		"503 twice":            {answer(503, ""), 2, 3, true},
		"503":                  {answer(503, ""), 0, 3, false},
		"404":                  {answer(404, ""), 0, 1, false},
		"403, the key is good": {answer(403, ""), 0, 1, false},
		"400":                  {answer(400, ""), 0, 1, false},
		"no array":             {answer(200, `{}`), 0, 3, false},
		"429 once":             {answer(429, ""), 1, 2, true},
		"no answer":            {sandbox.Fault{Do: sandbox.Hang}, 0, 1, false}, // for 65 s: that is too long for another
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts = 3
				var times atomic.Int64
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpListTasks && (times.Add(1) <= c.times || c.times == 0) {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass), decide(w.cfg.Kafka.Topics.Decisions, task(1, 2), decision.CompletedPass))
				m := w.start(withProfiles)
				w.awaitAll(20 * time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != "completed" {
						t.Errorf("outcome %s", outcome)
					}
				}
				w.checkCommitted()
				for _, r := range w.results() {
					if (r.Profile != nil) != c.known || r.Attempts != 1 {
						t.Errorf("result %+v", r)
					}
				}
				if looks := w.made(passfort.OpListTasks); looks != c.looks || len(w.completions()) != 2 {
					t.Errorf("%d looks, %d completions", looks, len(w.completions()))
				}
			})
		})
	}
}

func TestAnOutageHoldsResultsForAMinuteAtTheMost(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 500)...)
		m := w.start(withProfiles)
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 100 })
		w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(503, "") })
		done := len(w.completions())
		time.Sleep(70 * time.Second)
		if results := w.count(w.cfg.Kafka.Topics.Results); results < done-20 {
			t.Errorf("%d results of about %d completed tasks, a minute into an outage", results, done)
		}
		w.setFaults(nil)
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkRate(100, 10)
	})
}

// TestAListThatFailsForEveryoneIsNoOutage has half of all calls fail, and none
// that matters.
func TestAListThatFailsForEveryoneIsNoOutage(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.Processor.MaxAttempts = 3
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.Operation == passfort.OpListTasks {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 2000)...)
		m := w.start(withProfiles)
		w.await(2*time.Minute, "every decision is settled", func() bool {
			if m.metric("verdict_paused") != 0 {
				t.Fatal("paused")
			}
			return w.count(w.cfg.Kafka.Topics.Results) == 2000
		})
		m.stop()
		w.checkSettledOnce()
	})
}

func TestADrainLetsNoCompletedDecisionUnsettled(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"the API serves": {}, "looks fail": answer(503, ""), "looks hang": {Do: sandbox.Hang}, "429": answer(429, ""),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{Latency: 300 * time.Millisecond}, func(t *testing.T, w *world) {
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpListTasks {
						return fault
					}
					return sandbox.Fault{}
				})
				// The first waits for the second, which never ends.
				stuck := task(1, 1)
				slow := w.faults
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == stuck.TaskID {
						return answer(503, "")
					}
					return slow(call)
				})
				records := []outgoing{decide(w.cfg.Kafka.Topics.Decisions, stuck, decision.CompletedPass)}
				for i := range 50 {
					records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start(withProfiles, func(c *configs.Config) { c.Processor.MaxAttempts = 1000 })
				w.await(time.Minute, "all but one are called", func() bool { return len(w.completions()) > 50 })
				time.Sleep(time.Second) // and held
				if n := w.count(w.cfg.Kafka.Topics.Results); n != 0 {
					t.Fatalf("%d results already", n)
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

// TestWhatIsHeldIsBounded has a profile that is never quiet, with more decisions
// than may be held.
func TestWhatIsHeldIsBounded(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		const workers, n = 4, 300
		never := task(1, 0)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == never.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decide(w.cfg.Kafka.Topics.Decisions, never, decision.CompletedPass)}
		for i := range n {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
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
			t.Errorf("up to %d decisions were completed and not settled, want about %d", most, 4*workers)
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

// TestOrderAndRateHoldWithProfiles is the order test with everything on, and
// members that come and go.
func TestOrderAndRateHoldWithProfiles(t *testing.T) {
	var d directory
	const profiles, tasks = 20, 3
	for p := range profiles {
		var all []passfort.Task
		for i := range tasks {
			all = append(all, known(task(p, 10*p+i), fmt.Sprint("a", i), fmt.Sprint("T", i)))
		}
		d.set(task(p, 0), all...)
	}
	inWorld(t, sandbox.Options{Profiles: d.of, Latency: 10 * time.Millisecond, Jitter: 40 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 150, 10
		r := rand.New(rand.NewPCG(7, 8))
		a, b := w.start(withProfiles), w.start(withProfiles)
		for i := range 20 {
			var records []outgoing
			for range 1 + r.IntN(60) {
				p, i := r.IntN(profiles), r.IntN(tasks)
				if r.IntN(2) == 0 {
					records = append(records, byKey(w.cfg.Kafka.Topics.Decisions, task(p, 10*p+i), "alias", fmt.Sprint("a", i), anyState(r)))
				} else {
					records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(p, 10*p+i), anyState(r)))
				}
			}
			w.send(records...)
			time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
			if i%6 == 5 {
				a.stop()
				a, b = b, w.start(withProfiles)
			}
		}
		w.awaitAll(time.Hour)
		a.stop()
		b.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		w.checkRate(150, 10)
		without := 0
		for _, r := range w.results() {
			if r.Profile == nil {
				without++
			}
		}
		if without > 0 {
			t.Errorf("%d of %d results without their profile", without, len(w.submitted))
		}
	})
}

// TestACrashWhileResultsAreHeldCallsForNothingAgain cuts Kafka off and stops the
// service, which is as good as killing it.
func TestACrashWhileResultsAreHeldCallsForNothingAgain(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		stuck := task(1, 1)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == stuck.TaskID {
				return answer(503, "")
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decide(w.cfg.Kafka.Topics.Decisions, stuck, decision.CompletedPass)}
		for i := range 50 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(withProfiles)
		w.await(time.Minute, "all but one are called", func() bool { return len(w.completions()) > 50 })
		time.Sleep(time.Second) // more than a commit's interval
		w.network.Cut(w.kafka.Addrs()...)
		delete(w.running, m)
		m.stopping()
		<-m.ended
		w.network.Mend(w.kafka.Addrs()...)
		if n := w.count(w.cfg.Kafka.Topics.Results); n != 0 {
			t.Fatalf("%d results got out", n)
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
			t.Errorf("%d tasks were completed again; of 50 %d were found complete", n, found)
		}
	})
}
