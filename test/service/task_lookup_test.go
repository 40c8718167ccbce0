package service_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestTaskIsFoundByAliasOrType(t *testing.T) {
	for name, c := range map[string]struct {
		member, key string
		tasks       []passfort.Task
		found       int      // number of the task; 0: none
		reason      string   // of the dead letter, where none is found
		says        []string // what its error contains
	}{
		"by alias":            {"alias", "identity", []passfort.Task{listed(task(1, 1), "identity", "ID"), listed(task(1, 2), "address", "ID")}, 1, "", nil},
		"by type":             {"type", "ADDRESS", []passfort.Task{listed(task(1, 1), "identity", "ID"), listed(task(1, 2), "x", "ADDRESS")}, 2, "", nil},
		"beside expired ones": {"alias", "identity", []passfort.Task{expired(listed(task(1, 1), "identity", "ID")), listed(task(1, 2), "identity", "ID"), expired(listed(task(1, 3), "identity", "ID"))}, 2, "", nil},
		"a skipped one":       {"alias", "identity", []passfort.Task{skipped(listed(task(1, 1), "identity", "ID"))}, 1, "", nil},
		"listed twice":        {"alias", "identity", []passfort.Task{listed(task(1, 1), "identity", "ID"), listed(task(1, 1), "identity", "ID")}, 1, "", nil},
		"none":                {"alias", "identity", []passfort.Task{listed(task(1, 1), "address", "ADDRESS")}, 0, "task_not_found", []string{`no live task of alias "identity"; it has ` + task(1, 1).TaskID + ` (ADDRESS, alias "address", INCOMPLETE)`}},
		"no tasks":            {"type", "X", nil, 0, "task_not_found", []string{`no live task of type "X"`}},
		"in another case":     {"alias", "Identity", []passfort.Task{listed(task(1, 1), "identity", "ID")}, 0, "task_not_found", nil},
		"expired alone":       {"alias", "identity", []passfort.Task{expired(listed(task(1, 1), "identity", "ID"))}, 0, "task_not_found", []string{"only expired ones (1)"}},
		"several":             {"type", "ID", []passfort.Task{listed(task(1, 1), "a", "ID"), listed(task(1, 2), "b", "ID"), expired(listed(task(1, 3), "c", "ID"))}, 0, "task_ambiguous", []string{`2 live tasks of type "ID"`, task(1, 1).TaskID + ` (ID, alias "a", INCOMPLETE), ` + task(1, 2).TaskID + ` (ID, alias "b", INCOMPLETE)`}},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), c.tasks...)
			inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, c.found), c.member, c.key, decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				if n := m.metric("verdict_api_requests_total", "operation", "list_tasks", "code", "200"); n != 1 {
					t.Errorf("%v lists in the metric, want 1", n)
				}
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				for _, r := range w.results() {
					if r.TaskID != task(1, c.found).TaskID || r.Outcome != decision.Completed || r.Attempts != 1 || !strings.Contains(string(r.Task), r.TaskID) {
						t.Errorf("result %+v", r)
					}
				}
				for _, letter := range w.deadLetters() {
					if string(letter.Reason) != c.reason || letter.HTTPStatus != 200 {
						t.Errorf("dead letter %s %d, want %s", letter.Reason, letter.HTTPStatus, c.reason)
					}
					for _, part := range c.says {
						if !strings.Contains(letter.Error, part) {
							t.Errorf("%q does not say %q", letter.Error, part)
						}
					}
				}
				if got := len(w.completions()); (got == 1) != (c.found > 0) || got > 1 {
					t.Errorf("%d completions, found task %d", got, c.found)
				}
			})
		})
	}
}

func TestErrorForManyCandidatesFitsItsHeader(t *testing.T) {
	var d directory
	var tasks []passfort.Task
	for i := range 300 {
		tasks = append(tasks, listed(task(1, 1+i), strings.Repeat("ä", i), "T"))
	}
	d.set(task(1, 1), tasks...)
	inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
		w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 0), "type", "T", decision.CompletedPass))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, letter := range w.deadLetters() {
			if len(letter.Error) > decision.MaxErrorSize || !strings.Contains(letter.Error, "300 live tasks") || !strings.HasSuffix(letter.Error, " more") {
				t.Errorf("an error of %d bytes: %s", len(letter.Error), letter.Error)
			}
		}
	})
}

func TestWaitingDecisionsOfAProfileShareOneList(t *testing.T) {
	var d directory
	var tasks []passfort.Task
	for i := range 10 {
		tasks = append(tasks, listed(task(1, 1+i), fmt.Sprint("a", i), fmt.Sprint("T", i)))
	}
	d.set(task(1, 1), tasks...)
	inWorld(t, sandbox.Options{Profiles: d.tasks, Latency: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 50, 5
		var records []outgoing
		for i := range 60 {
			switch at := task(1, 1+i%10); i % 3 {
			case 0:
				records = append(records, decisionByKey(w.cfg.Kafka.Topics.Decisions, at, "alias", fmt.Sprint("a", i%10), decision.CompletedPass))
			case 1:
				records = append(records, decisionByKey(w.cfg.Kafka.Topics.Decisions, at, "type", fmt.Sprint("T", i%10), decision.CompletedFail))
			default:
				records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, at, decision.CompletedPass))
			}
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkRate(50, 5)
		if lists, all := len(w.callsOf(passfort.OpListTasks)), len(w.allCalls()); lists != 1 || all != 62 { // with whoami
			t.Errorf("%d lists, %d calls for 60 decisions on one profile", lists, all)
		}
	})
}

func TestFailedLookupIsClassifiedLikeACall(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		times int64 // how often it comes; 0: always
		want  string
		lists int
	}{
		"503":                   {answer(503, ""), 0, "retries_exhausted", 3},
		"503 once":              {answer(503, ""), 1, "completed", 2},
		"cut":                   {sandbox.Fault{Do: sandbox.Cut, Status: 200, Body: "["}, 0, "unconfirmed", 3},
		"no answer once":        {sandbox.Fault{Do: sandbox.Hang}, 1, "completed", 2},
		"429 twice":             {sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"X-Ratelimit-Retry-Secs": {"3"}}}, 2, "completed", 3},
		"404":                   {sandbox.Refusal(404), 0, "task_not_found", 2},
		"403, good key":         {answer(403, ""), 0, "forbidden", 2},
		"400":                   {sandbox.Refusal(400), 0, "rejected", 2},
		"errors in a 200":       {answer(200, `{"errors":[{"code":201}]}`), 0, "rejected", 2},
		"no array":              {answer(200, `{"tasks":[]}`), 0, "retries_exhausted", 3},
		"a task without an ID":  {answer(200, `[{"state":"INCOMPLETE"}]`), 0, "unconfirmed", 3},
		"unknown fields, state": {answer(200, `[{"id":"`+task(1, 1).TaskID+`","state":"PONDERING","x":[],"type":5,"variant":{"alias":"a","y":{}}},{"id":"`+task(1, 2).TaskID+`","state":"NEW","variant":null}]`), 0, "completed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), listed(task(1, 1), "a", "T"))
			inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts, w.cfg.Processor.Patience = 3, 0
				var times atomic.Int64
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpListTasks && (times.Add(1) <= c.times || c.times == 0) {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass),
					decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 5), decision.CompletedPass), // waits for the lookup
					decisionOn(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass)) // does not wait
				m := w.start()
				w.awaitAllBusy(20 * time.Minute)
				m.stop()
				outcomes := w.checkSettledOnce()
				w.checkCommitted()
				for at, sent := range w.submitted {
					want := "completed"
					if sent.task == task(1, 1) {
						want = c.want
					}
					if outcomes[at] != want {
						t.Errorf("%v is %s, want %s", sent.task, outcomes[at], want)
					}
				}
				// An attempt before which no other task was completed does not count.
				if n := len(w.callsOf(passfort.OpListTasks)); n < c.lists || n > c.lists+c.lists/3*17 {
					t.Errorf("%d lists, want %d or a few more", n, c.lists)
				}
			})
		})
	}
}

// TestDecisionsByIDAndKeyKeepTheirOrder sends decisions on a few tasks, which they name
// by ID, alias or type, while calls fail and the service restarts.
func TestDecisionsByIDAndKeyKeepTheirOrder(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const profiles, tasks = 6, 3
			d := threefold(profiles, tasks)
			inWorld(t, sandbox.Options{Profiles: d.tasks, Latency: 10 * time.Millisecond, Jitter: 40 * time.Millisecond, Seed: seed}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit, w.cfg.API.Burst, w.cfg.Processor.MaxAttempts = 100, 10, 100
				r := rand.New(rand.NewPCG(seed, 1))
				done := make(map[string][]decision.State) // by task: what the API did
				failing := rand.New(rand.NewPCG(seed, 2))
				var mu sync.Mutex
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					mu.Lock()
					defer mu.Unlock()
					if failing.IntN(10) == 0 {
						return answer(503, "")
					}
					if call.Operation == passfort.OpComplete {
						done[call.TaskID] = append(done[call.TaskID], call.State)
					}
					return sandbox.Fault{}
				})
				topic := w.cfg.Kafka.Topics.Decisions
				if seed%3 == 2 {
					topic = w.cfg.Kafka.Topics.Backfill
				}
				m := w.start()
				for range 12 {
					var records []outgoing
					for range 1 + r.IntN(80) {
						p, i := r.IntN(profiles), r.IntN(tasks)
						records = append(records, namedAnyhow(r, topic, task(p, 10*p+i), i))
					}
					w.send(records...)
					time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
					if r.IntN(4) == 0 {
						m.stop()
						m = w.start()
					}
				}
				w.awaitAll(time.Hour)
				m.stop()
				outcomes := w.checkSettledOnce()
				for at, outcome := range outcomes {
					if outcome != "completed" {
						t.Errorf("%v is %s", at, outcome)
					}
				}
				w.checkDone(done)
				w.checkCommitted()
				w.checkRate(100, 10)
			})
		})
	}
}

// threefold returns profiles whose tasks can be named by ID, alias and type. Each alias
// and type also has an expired task.
func threefold(profiles, tasks int) *directory {
	var d directory
	for p := range profiles {
		var all []passfort.Task
		for i := range tasks {
			alias, taskType := fmt.Sprint("a", i), fmt.Sprint("T", i)
			all = append(all, listed(task(p, 10*p+i), alias, taskType), expired(listed(task(p, 1000+10*p+i), alias, taskType)))
		}
		d.set(task(p, 0), all...)
	}
	return &d
}

// namedAnyhow returns a decision on a task of threefold's, the i-th of its profile,
// that names it by ID, alias or type.
func namedAnyhow(r *rand.Rand, topic string, t decision.Task, i int) outgoing {
	switch r.IntN(4) {
	case 0:
		return decisionByKey(topic, t, "alias", fmt.Sprint("a", i), anyState(r))
	case 1:
		return decisionByKey(topic, t, "type", fmt.Sprint("T", i), anyState(r))
	}
	return decisionOn(topic, t, anyState(r))
}

// checkDone checks that the API put each task into the states of its decisions, in
// order. done is by the task's ID.
func (w *world) checkDone(done map[string][]decision.State) {
	w.t.Helper()
	want := make(map[string][]decision.State)
	for _, at := range w.submittedInOrder() {
		s := w.submitted[at]
		want[s.task.TaskID] = append(want[s.task.TaskID], s.state)
	}
	for id, states := range want {
		if !slices.Equal(done[id], states) {
			w.t.Errorf("task %s was put into %v, want %v", id, done[id], states)
		}
	}
	if len(done) != len(want) {
		w.t.Errorf("%d tasks were completed, want %d", len(done), len(want))
	}
}

func TestDuplicateByAliasNamesItsTask(t *testing.T) {
	var d directory
	d.set(task(1, 1), listed(task(1, 1), "a", "T"))
	inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
		once := decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass, `"id":"d-1"`)
		w.send(once, once)
		m := w.start()
		w.awaitAll(time.Minute)
		time.Sleep(time.Minute)
		d.set(task(1, 1))
		w.send(once)
		w.awaitAll(time.Minute)
		if n := m.metric("verdict_decisions_total", "outcome", "duplicate"); n != 2 {
			t.Errorf("%v duplicates, want 2", n)
		}
		m.stop()
		w.checkSettledOnce()
		for _, r := range w.results() {
			if r.TaskID != task(1, 1).TaskID {
				t.Errorf("result %+v", r)
			}
		}
	})
}
