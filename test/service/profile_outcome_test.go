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

// withProfiles makes results carry the outcome of their profile.
func withProfiles(c *configs.Config) { c.Processor.ProfileOutcome = true }

func TestResultCarriesTheOutcomeOfItsProfile(t *testing.T) {
	in := func(t passfort.Task, s decision.State) passfort.Task { t.State = s; return t }
	for name, c := range map[string]struct {
		others []passfort.Task // besides the one that is completed
		state  decision.State
		want   decision.Profile
	}{
		"alone, passed":            {nil, decision.CompletedPass, decision.Profile{Outcome: decision.AllPassed}},
		"alone, failed":            {nil, decision.CompletedFail, decision.Profile{Outcome: decision.SomeFailed, FailedTasks: 1}},
		"others open":              {[]passfort.Task{listed(task(1, 2), "b", "T"), listed(task(1, 3), "c", "T")}, decision.CompletedPass, decision.Profile{Outcome: decision.Open, OpenTasks: 2}},
		"failed, and others open":  {[]passfort.Task{listed(task(1, 2), "b", "T")}, decision.CompletedFail, decision.Profile{Outcome: decision.SomeFailed, OpenTasks: 1, FailedTasks: 1}},
		"skipped and expired ones": {[]passfort.Task{skipped(listed(task(1, 2), "b", "T")), expired(listed(task(1, 3), "c", "T")), expired(in(listed(task(1, 4), "d", "T"), decision.CompletedFail))}, decision.CompletedPass, decision.Profile{Outcome: decision.AllPassed}},
		"others passed and failed": {[]passfort.Task{in(listed(task(1, 2), "b", "T"), decision.CompletedPass), in(listed(task(1, 3), "c", "T"), decision.CompletedFail)}, decision.CompletedPass, decision.Profile{Outcome: decision.SomeFailed, FailedTasks: 1}},
		"an unknown state":         {[]passfort.Task{in(listed(task(1, 2), "b", "T"), "PONDERING")}, decision.CompletedPass, decision.Profile{Outcome: decision.Open, OpenTasks: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), append(c.others, listed(task(1, 1), "a", "T"))...)
			inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), c.state))
				m := w.start(withProfiles)
				w.awaitAll(time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				for _, r := range w.results() {
					if r.Profile == nil || *r.Profile != c.want || r.Outcome != decision.Completed || r.Attempts != 1 {
						t.Errorf("result %+v with the profile %+v, want %+v", r, r.Profile, c.want)
					}
				}
			})
		})
	}
}

func TestProfileIsNotListedByDefault(t *testing.T) {
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
		if n := len(w.allCalls()); n != 21 { // and whoami
			t.Errorf("%d calls for 20 decisions and whoami", n)
		}
	})
}

func TestFailedListOfAProfileLosesNoResult(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		times int64 // how often it comes; 0: always
		lists int
		known bool // whether the outcome is known in the end
	}{
		"503 twice":     {answer(503, ""), 2, 3, true},
		"503":           {answer(503, ""), 0, 3, false},
		"404":           {sandbox.Refusal(404), 0, 1, false},
		"403, good key": {answer(403, ""), 0, 2, false},
		"400":           {sandbox.Refusal(400), 0, 1, false},
		"no array":      {answer(200, `{}`), 0, 3, false},
		"429 once":      {answer(429, ""), 1, 2, true},
		"no answer":     {sandbox.Fault{Do: sandbox.Hang}, 0, 1, false}, // until its timeout of 65s, which leaves no time for another
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
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass), decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 2), decision.CompletedPass))
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
				if lists := len(w.callsOf(passfort.OpListTasks)); lists != c.lists || len(w.completions()) != 2 {
					t.Errorf("%d lists and %d completions, want %d and 2", lists, len(w.completions()), c.lists)
				}
			})
		})
	}
}

func TestOutageHoldsResultsForAMinuteAtMost(t *testing.T) {
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

// TestFailingListsAreNoOutage fails every list of a profile, and so one call in two.
func TestFailingListsAreNoOutage(t *testing.T) {
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

// TestProfilesKeepOrderAndRate names tasks by ID and alias, and restarts members.
func TestProfilesKeepOrderAndRate(t *testing.T) {
	var d directory
	const profiles, tasks = 20, 3
	for p := range profiles {
		var all []passfort.Task
		for i := range tasks {
			all = append(all, listed(task(p, 10*p+i), fmt.Sprint("a", i), fmt.Sprint("T", i)))
		}
		d.set(task(p, 0), all...)
	}
	inWorld(t, sandbox.Options{Profiles: d.tasks, Latency: 10 * time.Millisecond, Jitter: 40 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 150, 10
		r := rand.New(rand.NewPCG(7, 8))
		a, b := w.start(withProfiles), w.start(withProfiles)
		for i := range 20 {
			var records []outgoing
			for range 1 + r.IntN(60) {
				p, i := r.IntN(profiles), r.IntN(tasks)
				if r.IntN(2) == 0 {
					records = append(records, decisionByKey(w.cfg.Kafka.Topics.Decisions, task(p, 10*p+i), "alias", fmt.Sprint("a", i), anyState(r)))
				} else {
					records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(p, 10*p+i), anyState(r)))
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
