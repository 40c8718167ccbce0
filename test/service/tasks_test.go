package service_test

import (
	"fmt"
	"maps"
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

// variantID is the ID of the variant that has the alias.
func variantID(alias string) string {
	return fmt.Sprintf("eeeeeeee-0000-0000-0000-%012x", []byte(alias + "______")[:6])
}

// known is a task that a profile has from the start.
func known(t decision.Task, alias, taskType string) passfort.Task {
	return passfort.Task{
		ID: t.TaskID, State: decision.Incomplete, Type: taskType,
		Variant: passfort.Variant{ID: variantID(alias), Name: "Variant " + alias, Alias: alias, TaskType: taskType},
	}
}

// directory is the profiles of a world, which may change on the way.
type directory struct {
	mu       sync.Mutex
	profiles map[string][]passfort.Task
}

func (d *directory) set(t decision.Task, tasks ...passfort.Task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.profiles == nil {
		d.profiles = make(map[string][]passfort.Task)
	}
	d.profiles[t.ProfileID] = tasks
}

func (d *directory) of(profileID string) []passfort.Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.profiles[profileID])
}

// byKey makes the record of a decision that names its task by alias or type; it
// is the one that is expected to be found.
func byKey(topic string, is decision.Task, member, key string, state decision.State, more ...string) outgoing {
	members := append([]string{fmt.Sprintf(`"profile_id":%q,"task":{%q:%q},"state":%q`, is.ProfileID, member, key, state)}, more...)
	return outgoing{topic: topic, key: is.ProfileID, value: "{" + strings.Join(members, ",") + "}", task: is, state: state}
}

// made counts the calls of an operation.
func (w *world) made(op passfort.Operation) int {
	n := 0
	for _, c := range w.allCalls() {
		if c.Operation == op {
			n++
		}
	}
	return n
}

func TestATaskIsFoundByItsAliasOrType(t *testing.T) {
	for name, c := range map[string]struct {
		member, key string
		tasks       []passfort.Task
		found       int    // number of the task; 0: none
		reason      string // then
		says        []string
	}{
		"by alias":            {"alias", "identity", []passfort.Task{known(task(1, 1), "identity", "ID"), known(task(1, 2), "address", "ID")}, 1, "", nil},
		"by type":             {"type", "ADDRESS", []passfort.Task{known(task(1, 1), "identity", "ID"), known(task(1, 2), "x", "ADDRESS")}, 2, "", nil},
		"beside expired ones": {"alias", "identity", []passfort.Task{expired(known(task(1, 1), "identity", "ID")), known(task(1, 2), "identity", "ID"), expired(known(task(1, 3), "identity", "ID"))}, 2, "", nil},
		"a skipped one":       {"alias", "identity", []passfort.Task{skipped(known(task(1, 1), "identity", "ID"))}, 1, "", nil},
		"listed twice":        {"alias", "identity", []passfort.Task{known(task(1, 1), "identity", "ID"), known(task(1, 1), "identity", "ID")}, 1, "", nil},
		"none":                {"alias", "identity", []passfort.Task{known(task(1, 1), "address", "ADDRESS")}, 0, "task_not_found", []string{`no live task of alias "identity"; it has ` + task(1, 1).TaskID + ` (ADDRESS, alias "address", INCOMPLETE)`}},
		"no tasks":            {"type", "X", nil, 0, "task_not_found", []string{`no live task of type "X"`}},
		"in another case":     {"alias", "Identity", []passfort.Task{known(task(1, 1), "identity", "ID")}, 0, "task_not_found", nil},
		"expired alone":       {"alias", "identity", []passfort.Task{expired(known(task(1, 1), "identity", "ID"))}, 0, "task_not_found", []string{"only expired ones (1)"}},
		"several":             {"type", "ID", []passfort.Task{known(task(1, 1), "a", "ID"), known(task(1, 2), "b", "ID"), expired(known(task(1, 3), "c", "ID"))}, 0, "task_ambiguous", []string{`2 live tasks of type "ID"`, task(1, 1).TaskID + ` (ID, alias "a", INCOMPLETE), ` + task(1, 2).TaskID + ` (ID, alias "b", INCOMPLETE)`}},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), c.tasks...)
			inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
				w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, c.found), c.member, c.key, decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				if n := m.metric("verdict_api_requests_total", "operation", "list_tasks", "code", "200"); n != 1 {
					t.Errorf("%v lists counted", n)
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
					t.Errorf("%d completions", got)
				}
			})
		})
	}
}

func expired(t passfort.Task) passfort.Task { t.IsExpired = true; return t }
func skipped(t passfort.Task) passfort.Task { t.IsSkipped = true; return t }

func TestCandidatesFitTheErrorHeader(t *testing.T) {
	var d directory
	var tasks []passfort.Task
	for i := range 300 {
		tasks = append(tasks, known(task(1, 1+i), strings.Repeat("ä", i), "T"))
	}
	d.set(task(1, 1), tasks...)
	inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
		w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 0), "type", "T", decision.CompletedPass))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, letter := range w.deadLetters() {
			if len(letter.Error) > decision.MaxErrorSize || !strings.Contains(letter.Error, "300 live tasks") || !strings.HasSuffix(letter.Error, " more") {
				t.Errorf("%d bytes: %s", len(letter.Error), letter.Error)
			}
		}
	})
}

func TestDecisionsOfAProfileThatWaitTogetherShareOneList(t *testing.T) {
	var d directory
	var tasks []passfort.Task
	for i := range 10 {
		tasks = append(tasks, known(task(1, 1+i), fmt.Sprint("a", i), fmt.Sprint("T", i)))
	}
	d.set(task(1, 1), tasks...)
	inWorld(t, sandbox.Options{Profiles: d.of, Latency: 50 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.API.Burst = 50, 5
		var records []outgoing
		for i := range 60 {
			switch at := task(1, 1+i%10); i % 3 {
			case 0:
				records = append(records, byKey(w.cfg.Kafka.Topics.Decisions, at, "alias", fmt.Sprint("a", i%10), decision.CompletedPass))
			case 1:
				records = append(records, byKey(w.cfg.Kafka.Topics.Decisions, at, "type", fmt.Sprint("T", i%10), decision.CompletedFail))
			default:
				records = append(records, decide(w.cfg.Kafka.Topics.Decisions, at, decision.CompletedPass))
			}
		}
		w.send(records...)
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkRate(50, 5)
		if lists, all := w.made(passfort.OpListTasks), len(w.allCalls()); lists != 1 || all != 61 {
			t.Errorf("%d lists, %d calls for 60 decisions on one profile", lists, all)
		}
	})
}

func TestWhatALookUpFindsIsClassifiedAsAnyCallIs(t *testing.T) {
	for name, c := range map[string]struct {
		fault sandbox.Fault
		times int64 // that it comes; 0: always
		want  string
		lists int
	}{
		"503":                   {answer(503, ""), 0, "retries_exhausted", 3},
		"503 once":              {answer(503, ""), 1, "completed", 2},
		"cut":                   {sandbox.Fault{Do: sandbox.Cut, Status: 200, Body: "["}, 0, "unconfirmed", 3},
		"no answer once":        {sandbox.Fault{Do: sandbox.Hang}, 1, "completed", 2},
		"429 twice":             {sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"X-Ratelimit-Retry-Secs": {"3"}}}, 2, "completed", 3},
		"404":                   {answer(404, ""), 0, "task_not_found", 1},
		"403, the key is good":  {answer(403, ""), 0, "forbidden", 1},
		"400":                   {answer(400, ""), 0, "rejected", 1},
		"errors in a 200":       {answer(200, `{"errors":[{"code":201}]}`), 0, "rejected", 1},
		"no array":              {answer(200, `{"tasks":[]}`), 0, "unconfirmed", 3},
		"a task without an ID":  {answer(200, `[{"state":"INCOMPLETE"}]`), 0, "unconfirmed", 3},
		"unknown fields, state": {answer(200, `[{"id":"`+task(1, 1).TaskID+`","state":"PONDERING","x":[],"type":5,"variant":{"alias":"a","y":{}}},{"id":"`+task(1, 2).TaskID+`","state":"NEW","variant":null}]`), 0, "completed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), known(task(1, 1), "a", "T"))
			inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts = 3
				var times atomic.Int64
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.Operation == passfort.OpListTasks && (times.Add(1) <= c.times || c.times == 0) {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass),
					decide(w.cfg.Kafka.Topics.Decisions, task(1, 5), decision.CompletedPass), // behind the gate
					decide(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass)) // not behind it
				m := w.start()
				w.awaitAll(20 * time.Minute)
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
				if n := w.made(passfort.OpListTasks); n != c.lists {
					t.Errorf("%d lists, want %d", n, c.lists)
				}
			})
		})
	}
}

func TestATaskThatWasRememberedAndIsGoneIsLookedUpOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		after     []passfort.Task // of the profile, when the first is gone
		outcome   string
		says      string
		completed int
	}{
		"another took its place": {[]passfort.Task{known(task(1, 2), "a", "T")}, "completed", "", 2},
		"none did":               {nil, "task_not_found", `no live task of alias "a"`, 0},
		"two did":                {[]passfort.Task{known(task(1, 2), "a", "T"), known(task(1, 3), "a", "T")}, "task_ambiguous", "2 live tasks", 0},
		"the list still has it":  {[]passfort.Task{known(task(1, 1), "a", "T")}, "task_not_found", "and yet: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), known(task(1, 1), "a", "T"))
			inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
				w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				d.set(task(1, 1), c.after...)
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == task(1, 1).TaskID {
						return answer(404, "")
					}
					return sandbox.Fault{}
				})
				w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, c.completed), "alias", "a", decision.CompletedFail, `"id":"second"`))
				w.awaitAll(time.Minute)
				m.stop()
				w.checkSettledOnce()
				if n := w.made(passfort.OpListTasks); n != 2 {
					t.Errorf("%d lists, want one before and one after", n)
				}
				for _, r := range w.results() {
					if r.DecisionID == "second" && (c.outcome != "completed" || r.TaskID != task(1, c.completed).TaskID || r.Attempts != 2) {
						t.Errorf("result %+v", r)
					}
				}
				for _, letter := range w.deadLetters() {
					if string(letter.Reason) != c.outcome || !strings.Contains(letter.Error, c.says) || letter.Attempts != 1 {
						t.Errorf("dead letter %s after %d: %s", letter.Reason, letter.Attempts, letter.Error)
					}
				}
			})
		})
	}
}

func TestATaskThatExpiredBetweenTwoAttemptsIsNotCompleted(t *testing.T) {
	for name, c := range map[string]struct {
		fault   sandbox.Fault
		outcome string
	}{
		"surely not done: the new one is": {answer(503, ""), "completed"},
		"perhaps done: the new one isn't": {answer(502, ""), "task_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			old := known(task(1, 1), "a", "T")
			d.set(task(1, 1), old)
			inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts = 100
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == task(1, 1).TaskID {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 2), "alias", "a", decision.CompletedPass))
				m := w.start()
				w.await(time.Minute, "called once", func() bool { return len(w.completions()) > 0 })
				d.set(task(1, 1), expired(old), known(task(1, 2), "a", "T"))
				w.awaitAll(5 * time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != c.outcome {
						t.Errorf("outcome %s, want %s", outcome, c.outcome)
					}
				}
				if got := w.api.Completions(task(1, 2).ProfileID, task(1, 2).TaskID) == 1; got != (c.outcome == "completed") {
					t.Errorf("the new task completed: %v", got)
				}
				for _, letter := range w.deadLetters() {
					if !strings.Contains(letter.Error, task(1, 1).TaskID) || !strings.Contains(letter.Error, task(1, 2).TaskID) {
						t.Errorf("the dead letter says %q", letter.Error)
					}
				}
			})
		})
	}
}

func TestAPreflightThatFindsTheTaskExpiredLooksItUpAgain(t *testing.T) {
	var d directory
	old := known(task(1, 1), "a", "T")
	d.set(task(1, 1), old)
	inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
		w.cfg.Processor.Preflight = decision.PreflightAlways
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == task(1, 1).TaskID && call.Operation == passfort.OpGetTask {
				d.set(task(1, 1), expired(old), known(task(1, 2), "a", "T"))
			}
			return sandbox.Fault{}
		})
		w.send(byKey(w.cfg.Kafka.Topics.Decisions, task(1, 2), "alias", "a", decision.CompletedPass))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		if got := w.checkSettledOnce(); len(w.results()) != 1 || w.results()[0].TaskID != task(1, 2).TaskID {
			t.Errorf("outcomes %v", got)
		}
		if n := w.api.Completions(task(1, 1).ProfileID, task(1, 1).TaskID); n != 0 {
			t.Errorf("the expired task was completed %d times", n)
		}
	})
}

func TestTheIDOfAVariantIsNamedAsSuchAndAPlain404CostsOneLook(t *testing.T) {
	var d directory
	d.set(task(1, 1), expired(known(task(1, 9), "a", "T")), known(task(1, 1), "a", "T"), known(task(1, 2), "b", "T"), known(task(1, 3), "b", "T"))
	inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		plain := task(1, 7)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			switch {
			case call.TaskID == plain.TaskID:
				return answer(404, `{"errors":[{"message":"no such task"}]}`)
			case call.ProfileID == task(3, 3).ProfileID: // where the look can't be had
				return answer(404, "")
			}
			return sandbox.Fault{}
		})
		variant := func(alias string) decision.Task {
			return decision.NewTask(task(1, 1).ProfileID, variantID(alias))
		}
		wants := map[decision.Task]string{
			variant("a"): variantID("a") + " is the ID of a task variant, not of a task; the profile's task of that variant is " + task(1, 1).TaskID,
			variant("b"): variantID("b") + " is the ID of a task variant, not of a task; the profile's tasks of that variant are " + task(1, 2).TaskID + ` (T, alias "b", INCOMPLETE), ` + task(1, 3).TaskID,
			plain:        "404 not_found: no such task",
			task(3, 3):   "404 not_found",
		}
		for of := range wants {
			w.send(decide(topic, of, decision.CompletedPass))
		}
		for range 20 {
			w.send(decide(topic, plain, decision.CompletedPass))
		}
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for _, letter := range w.deadLetters() {
			d, err := decision.Decode(&letter.Original)
			if err != nil {
				t.Fatal(err)
			}
			if letter.Reason != decision.TaskNotFound || letter.HTTPStatus != 404 || letter.Attempts != 1 || !strings.Contains(letter.Error, wants[d.Task]) {
				t.Errorf("%s %d after %d: %q, want %q", letter.Reason, letter.HTTPStatus, letter.Attempts, letter.Error, wants[d.Task])
			}
		}
		if lists := w.made(passfort.OpListTasks); lists != 2 {
			t.Errorf("%d lists for two profiles", lists)
		}
	})
}

// TestOrderHoldsBetweenDecisionsByIDAndByKey has decisions on few tasks, named
// in three ways, in both lanes, by one and the same partition, with calls that
// fail and a restart in between.
func TestOrderHoldsBetweenDecisionsByIDAndByKey(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var d directory
			const profiles, tasks = 6, 3
			for p := range profiles {
				var all []passfort.Task
				for i := range tasks {
					all = append(all, known(task(p, 10*p+i), fmt.Sprint("a", i), fmt.Sprint("T", i)), expired(known(task(p, 1000+10*p+i), fmt.Sprint("a", i), fmt.Sprint("T", i))))
				}
				d.set(task(p, 0), all...)
			}
			inWorld(t, sandbox.Options{Profiles: d.of, Latency: 10 * time.Millisecond, Jitter: 40 * time.Millisecond, Seed: seed}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit, w.cfg.API.Burst, w.cfg.Processor.MaxAttempts = 100, 10, 100
				r := rand.New(rand.NewPCG(seed, 1))
				made := make(map[string][]decision.State) // by task: what the API carried out
				lots := rand.New(rand.NewPCG(seed, 2))
				var mu sync.Mutex
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					mu.Lock()
					defer mu.Unlock()
					if lots.IntN(10) == 0 {
						return answer(503, "")
					}
					if call.Operation == passfort.OpComplete {
						made[call.TaskID] = append(made[call.TaskID], decision.State(call.State))
					}
					return sandbox.Fault{}
				})
				topic := w.cfg.Kafka.Topics.Decisions
				if seed%3 == 2 {
					topic = w.cfg.Kafka.Topics.Backfill
				}
				next := func() outgoing {
					p, i := r.IntN(profiles), r.IntN(tasks)
					at := task(p, 10*p+i)
					switch r.IntN(4) {
					case 0:
						return byKey(topic, at, "alias", fmt.Sprint("a", i), anyState(r))
					case 1:
						return byKey(topic, at, "type", fmt.Sprint("T", i), anyState(r))
					}
					return decide(topic, at, anyState(r))
				}
				m := w.start()
				for range 12 {
					var records []outgoing
					for range 1 + r.IntN(80) {
						records = append(records, next())
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
				wanted := make(map[string][]decision.State)
				for _, at := range slices.SortedFunc(maps.Keys(w.submitted), func(a, b decision.Origin) int { return int(a.Offset - b.Offset) }) {
					s := w.submitted[at]
					wanted[s.task.TaskID] = append(wanted[s.task.TaskID], s.state)
				}
				for id, states := range wanted {
					if !slices.Equal(made[id], states) {
						t.Errorf("task %s was put into %v, want %v", id, made[id], states)
					}
				}
				if len(made) != len(wanted) {
					t.Errorf("%d tasks were completed, want %d", len(made), len(wanted))
				}
				w.checkCommitted()
				w.checkRate(100, 10)
			})
		})
	}
}

func TestTheResultOfADuplicateByAliasNamesItsTask(t *testing.T) {
	var d directory
	d.set(task(1, 1), known(task(1, 1), "a", "T"))
	inWorld(t, sandbox.Options{Profiles: d.of}, func(t *testing.T, w *world) {
		once := byKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass, `"id":"d-1"`)
		w.send(once, once)
		m := w.start()
		w.awaitAll(time.Minute)
		time.Sleep(time.Minute)
		d.set(task(1, 1))
		w.send(once)
		w.awaitAll(time.Minute)
		if n := m.metric("verdict_decisions_total", "outcome", "duplicate"); n != 2 {
			t.Errorf("%v duplicates", n)
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

// TestAnAnswerIsReadByItsState is the table of what a task says of itself, in
// the answer to a completion and in a look before one.
func TestAnAnswerIsReadByItsState(t *testing.T) {
	of := func(fields string) string { return `{"id":"` + task(1, 1).TaskID + `",` + fields + `}` }
	for name, c := range map[string]struct {
		look, answer string // what the API answers to a look and to a completion; "": as the sandbox does
		want         string
		keeps        string
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
		"errors that are none":               {"", of(`"state":"COMPLETED_PASS","errors":[]`), "completed", `"errors":[]`},
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
				w.cfg.Processor.MaxAttempts = 2
				if c.look != "" {
					w.cfg.Processor.Preflight = decision.PreflightAlways
				}
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					switch {
					case call.Operation == passfort.OpGetTask && c.look != "":
						return answer(200, c.look)
					case call.Operation == passfort.OpComplete && c.answer != "":
						return answer(200, c.answer)
					}
					return sandbox.Fault{}
				})
				w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass))
				m := w.start()
				w.awaitAll(20 * time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != c.want {
						t.Errorf("outcome %s, want %s", outcome, c.want)
					}
				}
				for _, r := range w.results() {
					if !strings.Contains(string(r.Task), c.keeps) {
						t.Errorf("the result's task is %s", r.Task)
					}
				}
			})
		})
	}
}
