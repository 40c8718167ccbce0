package service_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// maintenance is the page of a gateway in front of the API.
const maintenance = "<!DOCTYPE html>\n<html><body>Back soon</body></html>"

// TestForeignAnswersPauseAndDeadLetterNothing has something other than the API answer
// every call, in the middle of a backlog.
func TestForeignAnswersPauseAndDeadLetterNothing(t *testing.T) {
	t.Parallel()
	redirect := sandbox.Fault{Do: sandbox.Answer, Status: http.StatusFound, Header: http.Header{"Location": {"https://login.example/"}}}
	for name, fault := range map[string]sandbox.Fault{
		"redirect":                  redirect,
		"400 with a page":           answer(400, maintenance),
		"404 with a page":           answer(404, maintenance),
		"404 of a gateway, as JSON": answer(404, `{"message":"no Route matched with those values"}`),
		"404 without a body":        answer(404, ""),
		"405 of a gateway":          answer(405, "Method Not Allowed\n"),
		"410 of a gateway":          answer(410, `{"error":"gone"}`),
		"403 with a page":           answer(403, maintenance), // whoami is good
		"200 with a page":           answer(200, maintenance),
		"200 with other JSON":       answer(200, `{"status":"maintenance"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 200
				w.send(passes(w.cfg.Kafka.Topics.Decisions, 500)...)
				m := w.start()
				w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 100 })
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.Operation == passfort.OpWhoAmI && fault.Status == http.StatusForbidden {
						return sandbox.Fault{}
					}
					return fault
				})
				w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
				time.Sleep(10 * time.Minute)
				if !m.paused(decision.PausedOutage) {
					t.Error("not paused any more")
				}
				if n := m.metric("verdict_retries_total", "cause", "foreign"); n < 10 {
					t.Errorf("%v retries because of foreign answers", n)
				}
				w.setFaults(nil)
				w.awaitAll(10 * time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
				if lines := w.logLines("api.base_url"); len(lines) != 1 || !strings.Contains(lines[0], "pause=outage") || !strings.Contains(lines[0], "gateway") {
					t.Errorf("%d log lines say what to check, want one:\n%s", len(lines), lines)
				}
			})
		})
	}
}

func TestBaseURLWithoutVersionDeadLettersNothing(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 5 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.BaseURL = strings.TrimSuffix(w.cfg.API.BaseURL, "/4.0")
		w.send(passes(w.cfg.Kafka.Topics.Backfill, 100)...)
		m := w.start()
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
		time.Sleep(10 * time.Minute)
		m.stop()
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
		w.cfg.API.BaseURL += "/4.0"
		m = w.start()
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
	})
}

// TestOutageThatTurnsForeignIsSaidOnce has a gateway put up a page while the API is away.
func TestOutageThatTurnsForeignIsSaidOnce(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		m := w.start()
		for range 2 {
			w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(503, "") })
			w.send(passes(w.cfg.Kafka.Topics.Decisions, 50)...)
			w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedOutage) })
			time.Sleep(time.Minute)
			w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(200, maintenance) })
			time.Sleep(time.Minute)
			w.setFaults(nil)
			w.awaitAll(5 * time.Minute)
		}
		m.stop()
		if lines := w.logLines("api.base_url"); len(lines) != 2 {
			t.Errorf("%d lines say what to check in two outages:\n%s", len(lines), lines)
		}
	})
}

// TestRetryAfterOfA503BindsItsDecisionAlone has the API ask for different waits.
func TestRetryAfterOfA503BindsItsDecisionAlone(t *testing.T) {
	for asked, want := range map[string]time.Duration{"90": 90 * time.Second, "86400": passfort.MaxRetryAfter} {
		t.Run(asked, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				slow := task(1, 0)
				var first atomic.Bool
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.TaskID != slow.TaskID || !first.CompareAndSwap(false, true) {
						return sandbox.Fault{}
					}
					return sandbox.Fault{Do: sandbox.Answer, Status: 503, Header: http.Header{"Retry-After": {asked}}}
				})
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass))
				m := w.start()
				w.await(time.Minute, "the first call", func() bool { return len(w.completions()) == 1 })
				for i := range 20 {
					w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
				}
				w.await(10*time.Second, "the others are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 20 })
				w.awaitAll(10 * time.Minute)
				m.stop()
				calls := slices.DeleteFunc(w.completions(), func(c sandbox.Call) bool { return c.TaskID != slow.TaskID })
				if len(calls) != 2 {
					t.Fatalf("%d calls, want 2", len(calls))
				}
				if waited := calls[1].Time.Sub(calls[0].Time); waited < want || waited > want+time.Second {
					t.Errorf("tried again after %s, want %s", waited, want)
				}
			})
		})
	}
}
