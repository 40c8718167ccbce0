package service_test

import (
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// TestVanishedTaskIsLookedUpOnceMore has a task disappear after its ID was found and
// remembered.
func TestVanishedTaskIsLookedUpOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		after     []passfort.Task // the tasks of the profile afterwards
		outcome   string
		says      string
		completed int
	}{
		"another took its place": {[]passfort.Task{listed(task(1, 2), "a", "T")}, "completed", "", 2},
		"none did":               {nil, "task_not_found", `no live task of alias "a"`, 0},
		"two did":                {[]passfort.Task{listed(task(1, 2), "a", "T"), listed(task(1, 3), "a", "T")}, "task_ambiguous", "2 live tasks", 0},
		"the list still has it":  {[]passfort.Task{listed(task(1, 1), "a", "T")}, "task_not_found", "and yet: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			d.set(task(1, 1), listed(task(1, 1), "a", "T"))
			inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 1), "alias", "a", decision.CompletedPass))
				m := w.start()
				w.awaitAll(time.Minute)
				d.set(task(1, 1), c.after...)
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == task(1, 1).TaskID {
						return sandbox.Refusal(404)
					}
					return sandbox.Fault{}
				})
				w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, c.completed), "alias", "a", decision.CompletedFail, `"id":"second"`))
				w.awaitAll(time.Minute)
				m.stop()
				w.checkSettledOnce()
				if n := len(w.callsOf(passfort.OpListTasks)); n != 2 {
					t.Errorf("%d lists, want one before the task is gone and one after", n)
				}
				for _, r := range w.results() {
					if r.DecisionID == "second" && (c.outcome != "completed" || r.TaskID != task(1, c.completed).TaskID || r.Attempts != 2) {
						t.Errorf("result %+v", r)
					}
				}
				for _, letter := range w.deadLetters() {
					if string(letter.Reason) != c.outcome || !strings.Contains(letter.Error, c.says) || letter.Attempts > 2 {
						t.Errorf("dead letter %s after %d: %s", letter.Reason, letter.Attempts, letter.Error)
					}
				}
			})
		})
	}
}

func TestTaskExpiredBetweenAttemptsIsNotCompleted(t *testing.T) {
	for name, c := range map[string]struct {
		fault   sandbox.Fault
		outcome string
	}{
		"not done: the new task is completed": {answer(503, ""), "completed"},
		"maybe done: the new task is not":     {answer(502, ""), "task_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			var d directory
			old := listed(task(1, 1), "a", "T")
			d.set(task(1, 1), old)
			inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
				w.cfg.Processor.MaxAttempts = 100
				w.setFaults(func(call sandbox.Call) sandbox.Fault {
					if call.TaskID == task(1, 1).TaskID {
						return c.fault
					}
					return sandbox.Fault{}
				})
				w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 2), "alias", "a", decision.CompletedPass))
				m := w.start()
				w.await(time.Minute, "called once", func() bool { return len(w.completions()) > 0 })
				d.set(task(1, 1), expired(old), listed(task(1, 2), "a", "T"))
				w.awaitAll(5 * time.Minute)
				m.stop()
				for _, outcome := range w.checkSettledOnce() {
					if outcome != c.outcome {
						t.Errorf("outcome %s, want %s", outcome, c.outcome)
					}
				}
				if got := w.api.Completions(task(1, 2).ProfileID, task(1, 2).TaskID) == 1; got != (c.outcome == "completed") {
					t.Errorf("whether the new task is completed: %v", got)
				}
				for _, letter := range w.deadLetters() {
					if !strings.Contains(letter.Error, task(1, 1).TaskID) || !strings.Contains(letter.Error, task(1, 2).TaskID) {
						t.Errorf("the dead letter says %q, want both tasks in it", letter.Error)
					}
				}
			})
		})
	}
}

func TestPreflightLooksAnExpiredTaskUpAgain(t *testing.T) {
	var d directory
	old := listed(task(1, 1), "a", "T")
	d.set(task(1, 1), old)
	inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
		w.cfg.Processor.Preflight = decision.PreflightAlways
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			if call.TaskID == task(1, 1).TaskID && call.Operation == passfort.OpGetTask {
				d.set(task(1, 1), expired(old), listed(task(1, 2), "a", "T"))
			}
			return sandbox.Fault{}
		})
		w.send(decisionByKey(w.cfg.Kafka.Topics.Decisions, task(1, 2), "alias", "a", decision.CompletedPass))
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

// TestVariantIDInPlaceOfATaskIsExplained also shows that tasks that do not exist cost
// one list for each profile.
func TestVariantIDInPlaceOfATaskIsExplained(t *testing.T) {
	var d directory
	d.set(task(1, 1), expired(listed(task(1, 9), "a", "T")), listed(task(1, 1), "a", "T"), listed(task(1, 2), "b", "T"), listed(task(1, 3), "b", "T"))
	inWorld(t, sandbox.Options{Profiles: d.tasks}, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		plain := task(1, 7)
		w.setFaults(func(call sandbox.Call) sandbox.Fault {
			switch {
			case call.TaskID == plain.TaskID:
				return answer(404, `{"errors":[{"message":"no such task"}]}`)
			case call.ProfileID == task(3, 3).ProfileID: // whose list fails too
				return sandbox.Refusal(404)
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
			w.send(decisionOn(topic, of, decision.CompletedPass))
		}
		for range 20 {
			w.send(decisionOn(topic, plain, decision.CompletedPass))
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
			if letter.Reason != decision.TaskNotFound || letter.HTTPStatus != 404 || letter.Attempts != 2 || !strings.Contains(letter.Error, wants[d.Task]) {
				t.Errorf("%s %d after %d: %q, want %q", letter.Reason, letter.HTTPStatus, letter.Attempts, letter.Error, wants[d.Task])
			}
		}
		if lists := len(w.callsOf(passfort.OpListTasks)); lists > 10 { // a list is remembered for a few seconds
			t.Errorf("%d lists for 24 decisions on two profiles", lists)
		}
	})
}
