package integration

import (
	"net/http"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// awaitGood waits until the API has completed n tasks of which bad is false, and logs how
// long after since.
func (s *scene) awaitGood(n int, since time.Time, bad func(sandbox.Call) bool) time.Duration {
	s.t.Helper()
	await(s.t, "the good decisions are done", func() bool {
		done := make(map[decision.Task]bool)
		for _, c := range s.completions() {
			if t := decision.NewTask(c.ProfileID, c.TaskID); !bad(c) && s.api.State(t.ProfileID, t.TaskID) == decision.CompletedPass {
				done[t] = true
			}
		}
		return len(done) == n
	})
	took := time.Since(since).Round(10 * time.Millisecond)
	s.t.Logf("%d good decisions were done after %v", n, took)
	return took
}

func none(sandbox.Call) bool { return false }

// TestBadTasksDoNotDelayGoodOnes sends tasks that always get a 500 before good ones: two
// of them, and thousands of decisions on one.
func TestBadTasksDoNotDelayGoodOnes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ tasks, decisions int }{
		"two poison decisions": {2, 2},
		"a sick task":          {1, 6000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const good = 500
			s := newScene(t, sceneOptions{api: fastAPI})
			bad := func(c sandbox.Call) bool { return c.ProfileID == task(0xbad, 0).ProfileID }
			s.setFaults(func(c sandbox.Call) sandbox.Fault {
				if bad(c) && c.Operation == passfort.OpComplete {
					return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusInternalServerError}
				}
				return sandbox.Fault{}
			})
			var sick []outgoing
			for i := range c.decisions {
				sick = append(sick, outgoing{topic: s.topics.decisions, task: task(0xbad, i%c.tasks), state: decision.CompletedPass})
			}
			s.send(sick...)
			s.send(s.passing(s.topics.decisions, 0x10000, good)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=100")
			p.awaitPartitions(2 * partitions)
			if took := s.awaitGood(good, time.Now(), bad); took > 10*time.Second {
				t.Errorf("%d decisions at 100 a second took %v", good, took)
			}
			p.stop()
		})
	}
}

// TestMomentOf429IsOverSoon answers 429 without a wait for a quarter of a second, while
// forty calls are under way. That costs no more than a moment.
func TestMomentOf429IsOverSoon(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{api: sandbox.Options{Latency: 200 * time.Millisecond}})
	s.send(s.passing(s.topics.decisions, 0, 1000)...)
	p := s.start("verdict", "VERDICT_API_RATE_LIMIT=100", "VERDICT_PROCESSOR_WORKERS=40")
	await(t, "it works", func() bool { return s.settled() > 100 })
	s.setFaults(func(sandbox.Call) sandbox.Fault {
		return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"0"}}}
	})
	time.Sleep(250 * time.Millisecond)
	s.setFaults(nil)
	if took := s.awaitGood(1000, time.Now(), none); took > 20*time.Second {
		t.Errorf("900 decisions at 100 a second took %v", took)
	}
	s.awaitAll()
	p.stop()
	s.checkSettledOnce()
	s.checkNoDeadLetters()
}

// TestOutageBlamesNobody lets the API fail in several ways while a single decision, or many,
// wait; afterwards all of them are done.
func TestOutageBlamesNobody(t *testing.T) {
	t.Parallel()
	const page = "<!DOCTYPE html><html><body>Back soon</body></html>"
	answer := func(status int, body string) sandbox.Fault {
		return sandbox.Fault{Do: sandbox.Answer, Status: status, Body: body}
	}
	redirect := answer(http.StatusFound, "")
	redirect.Header = http.Header{"Location": {"https://login.example/"}}
	for name, c := range map[string]struct {
		fault sandbox.Fault
		n     int
	}{
		"a lone decision, 503": {answer(503, ""), 1},
		"a lone decision, cut": {sandbox.Fault{Do: sandbox.Cut}, 1},
		"a page with 200":      {answer(200, page), 200},
		"a page with 404":      {answer(404, page), 200},
		"a page with 400":      {answer(400, page), 200},
		"a redirect":           {redirect, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{api: fastAPI})
			s.setFaults(func(sandbox.Call) sandbox.Fault { return c.fault })
			s.send(s.passing(s.topics.decisions, 0, c.n)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=100", "VERDICT_PROCESSOR_MAX_ATTEMPTS=1", "VERDICT_PROCESSOR_PATIENCE=0s")
			await(t, "paused", func() bool { return p.metric("verdict_paused", `cause="outage"`) == 1 })
			time.Sleep(20 * time.Second)
			s.checkNoDeadLetters()
			s.setFaults(nil)
			if took := s.awaitGood(c.n, time.Now(), none); took > 30*time.Second {
				t.Errorf("the good decisions took %v after the outage", took)
			}
			s.awaitAll()
			p.stop()
			s.checkSettledOnce()
			s.checkNoDeadLetters()
		})
	}
}

func (s *scene) checkNoDeadLetters() {
	s.t.Helper()
	if n := s.count(s.topics.deadLetters); n > 0 {
		s.t.Errorf("%d dead letters", n)
	}
}
