package service_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// answers has answers to a completion, each with the outcome that it leads to and the
// attempts that it costs, of three at most.
var answers = map[string]struct {
	fault    sandbox.Fault
	want     string
	attempts int
}{
	"400":                     {answer(400, `{"errors":[{"code":201,"message":"bad"}]}`), "rejected", 2},
	"404":                     {sandbox.Refusal(404), "task_not_found", 2},
	"409":                     {sandbox.Refusal(409), "rejected", 2},
	"412":                     {sandbox.Refusal(412), "rejected", 2},
	"422":                     {sandbox.Refusal(422), "rejected", 2},
	"418, unknown":            {sandbox.Refusal(418), "rejected", 2},
	"errors as one object":    {answer(400, `{"errors":{"message":"bad"}}`), "rejected", 2},
	"404, not the API's":      {answer(404, ``), "retries_exhausted", 3},
	"405, not the API's":      {answer(405, `Method Not Allowed`), "retries_exhausted", 3},
	"422, not the API's":      {answer(422, `{"errors":{"state":["is bad"]}}`), "retries_exhausted", 3},
	"403, not the API's":      {answer(403, `{"message":"Forbidden"}`), "retries_exhausted", 3},
	"302, not followed":       {sandbox.Fault{Do: sandbox.Answer, Status: 302, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, "retries_exhausted", 3},
	"200 with errors":         {answer(200, `{"errors":[{"code":201,"message":"no"}]}`), "rejected", 2},
	"403, good key":           {answer(403, ``), "forbidden", 2},
	"401, good key":           {answer(401, ``), "forbidden", 2},
	"408":                     {answer(408, ``), "retries_exhausted", 3},
	"421":                     {sandbox.Refusal(421), "retries_exhausted", 3},
	"423":                     {sandbox.Refusal(423), "retries_exhausted", 3},
	"425":                     {sandbox.Refusal(425), "retries_exhausted", 3},
	"499":                     {answer(499, ``), "retries_exhausted", 3},
	"500":                     {answer(500, `oops`), "retries_exhausted", 3},
	"502":                     {answer(502, `<html>`), "retries_exhausted", 3},
	"503":                     {answer(503, ``), "retries_exhausted", 3},
	"503 with a code":         {answer(503, `{"errors":[{"code":201,"message":"bad"}]}`), "retries_exhausted", 3},
	"404 with a code":         {answer(404, `{"errors":[{"code":201,"message":"bad"}]}`), "task_not_found", 2},
	"599, unknown":            {answer(599, ``), "retries_exhausted", 3},
	"cut":                     {sandbox.Fault{Do: sandbox.Cut}, "retries_exhausted", 3},
	"no answer":               {sandbox.Fault{Do: sandbox.Hang}, "retries_exhausted", 3},
	"200 with a page":         {answer(200, `<html>`), "retries_exhausted", 3},
	"200 without a body":      {answer(200, ``), "unconfirmed", 3},
	"202":                     {answer(202, ``), "unconfirmed", 3},
	"200 in another state":    {answer(200, `{"id":"%s","state":"INCOMPLETE"}`), "unconfirmed", 3},
	"204":                     {answer(204, ``), "unconfirmed", 3},
	"done, then cut":          {sandbox.Fault{Do: sandbox.Cut, Act: true}, "already_complete", 1},
	"done, then 502":          {sandbox.Fault{Do: sandbox.Answer, Act: true, Status: 502}, "already_complete", 1},
	"done, then no answer":    {sandbox.Fault{Do: sandbox.Hang, Act: true}, "already_complete", 1},
	"done, then a cut answer": {sandbox.Fault{Do: sandbox.Cut, Act: true, Status: 200, Body: `{"id":`}, "already_complete", 1},
	"done, then a redirect":   {sandbox.Fault{Do: sandbox.Answer, Act: true, Status: 303, Header: http.Header{"Location": {"https://elsewhere.example/"}}}, "already_complete", 1},
	"done, then not a task":   {sandbox.Fault{Do: sandbox.Answer, Act: true, Status: 200, Body: `thanks`}, "already_complete", 1},
}

func TestAnswerDecidesTheOutcome(t *testing.T) {
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 3, 0
				it := task(1, 1)
				c.fault.Body = strings.ReplaceAll(c.fault.Body, "%s", it.TaskID)
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpComplete && call.TaskID == it.TaskID {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass), decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 2), decision.CompletedPass))
				m := w.start()
				w.awaitAllBusy(20 * time.Minute)
				m.stop()
				outcomes := w.checkSettledOnce()
				w.checkCommitted()
				attempts := -1
				for _, d := range w.deadLetters() {
					attempts = d.Attempts
				}
				for _, r := range w.results() {
					if r.TaskID == it.TaskID {
						attempts = r.Attempts
					}
				}
				for at, sent := range w.submitted {
					if sent.task == it && outcomes[at] != c.want {
						t.Errorf("outcome %s, want %s", outcomes[at], c.want)
					}
					if sent.task != it && outcomes[at] != "completed" {
						t.Errorf("the other decision is %s", outcomes[at])
					}
				}
				// One before which no other was completed does not count.
				if most := c.attempts + c.attempts/3*17; attempts < c.attempts || attempts > most {
					t.Errorf("%d attempts, want %d to %d", attempts, c.attempts, most)
				}
				if c.fault.Act && w.api.Completions(it.ProfileID, it.TaskID) != 1 {
					t.Errorf("completed %d times", w.api.Completions(it.ProfileID, it.TaskID))
				}
			})
		})
	}
}

// TestOppositeDecisionFollowsOnConflict has a person decide the opposite while the
// call is under way.
func TestOppositeDecisionFollowsOnConflict(t *testing.T) {
	for on, want := range map[decision.OnConflict]struct {
		outcome string
		state   decision.State
	}{
		decision.ConflictDeadLetter: {"conflict", decision.CompletedFail},
		decision.ConflictSkip:       {"skipped", decision.CompletedFail},
		decision.ConflictOverwrite:  {"completed", decision.CompletedPass},
	} {
		t.Run(string(on), func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				it := task(1, 1)
				w.cfg.Processor.OnConflict = on
				var first atomic.Bool
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.Operation == passfort.OpComplete && first.CompareAndSwap(false, true) {
						w.api.SetState(it.ProfileID, it.TaskID, decision.CompletedFail) // by a person
						return sandbox.Fault{Do: sandbox.Cut}
					}
					return sandbox.Fault{}
				})
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != want.outcome {
						t.Errorf("outcome %s, want %s", outcome, want.outcome)
					}
				}
				if got := w.api.State(it.ProfileID, it.TaskID); got != want.state {
					t.Errorf("the task is %s, want %s", got, want.state)
				}
			})
		})
	}
}

// TestTaskStateDecidesTheOutcome has the API answer with tasks in every form, to a
// completion and to the look before one.
func TestTaskStateDecidesTheOutcome(t *testing.T) {
	of := func(fields string) string { return `{"id":"` + task(1, 1).TaskID + `",` + fields + `}` }
	for name, c := range map[string]struct {
		look, answer string // the answer to a look and to a completion; "": the sandbox's own
		want         string
		keeps        string // in the result's task
	}{
		"expired, in the wanted state":       {"", of(`"state":"COMPLETED_PASS","is_expired":true`), "completed", `"is_expired":true`},
		"skipped, in the wanted state":       {"", of(`"state":"COMPLETED_PASS","is_skipped":true`), "completed", `"is_skipped":true`},
		"is_complete says otherwise":         {"", of(`"state":"COMPLETED_PASS","is_complete":false`), "completed", ""},
		"skipped, and open":                  {"", of(`"state":"INCOMPLETE","is_skipped":true`), "unconfirmed", ""},
		"an unknown state":                   {"", of(`"state":"COMPLETED_MAYBE","is_complete":true`), "unconfirmed", ""},
		"no state":                           {"", of(`"is_complete":true`), "unconfirmed", ""},
		"another task":                       {"", `{"id":"` + task(1, 2).TaskID + `","state":"COMPLETED_PASS"}`, "unconfirmed", ""},
		"the ID in capitals":                 {"", `{"id":"` + strings.ToUpper(task(1, 1).TaskID) + `","state":"COMPLETED_PASS"}`, "completed", ""},
		"errors beside the task":             {"", of(`"state":"COMPLETED_PASS","errors":[{"code":104,"message":"limit"}]`), "rejected", ""},
		"no errors":                          {"", of(`"state":"COMPLETED_PASS","errors":[]`), "completed", `"errors":[]`},
		"unknown fields":                     {"", of(`"state":"COMPLETED_PASS","new":{"a":[1.50]},"type":7,"variant":[]`), "completed", `"new":{"a":[1.50]}`},
		"a look: unknown, and complete":      {of(`"state":"SETTLED","is_complete":true`), "", "conflict", ""},
		"a look: unknown, complete by name":  {of(`"state":"COMPLETED_MAYBE"`), "", "conflict", ""},
		"a look: unknown, and not complete":  {of(`"state":"IN_REVIEW","is_complete":false`), "", "completed", ""},
		"a look: expired, and open":          {of(`"state":"INCOMPLETE","is_expired":true`), "", "completed", ""},
		"a look: skipped, in the wanted one": {of(`"state":"COMPLETED_PASS","is_skipped":true,"x":1}`[:len(`"state":"COMPLETED_PASS","is_skipped":true,"x":1}`)-1]), "", "already_complete", `"x":1`},
		"a look: another task":               {`{"id":"` + task(1, 2).TaskID + `","state":"INCOMPLETE"}`, "", "unconfirmed", ""},
		"a look: errors in a 200":            {`{"errors":{"code":201}}`, "", "rejected", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 2, 0
				if c.look != "" {
					w.cfg.Processor.Preflight = decision.PreflightAlways
				}
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					switch {
					case call.TaskID != task(1, 1).TaskID:
					case call.Operation == passfort.OpGetTask && c.look != "":
						return answer(200, c.look)
					case call.Operation == passfort.OpComplete && c.answer != "":
						return answer(200, c.answer)
					}
					return sandbox.Fault{}
				})
				w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
				m := w.start()
				w.awaitAllBusy(20 * time.Minute)
				m.stop()
				for at, outcome := range w.checkSettledOnce() {
					if w.submitted[at].task == task(1, 1) && outcome != c.want {
						t.Errorf("outcome %s, want %s", outcome, c.want)
					}
				}
				for _, r := range w.results() {
					if r.TaskID == task(1, 1).TaskID && !strings.Contains(string(r.Task), c.keeps) {
						t.Errorf("the result's task is %s, want %s in it", r.Task, c.keeps)
					}
				}
			})
		})
	}
}
