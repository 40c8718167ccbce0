package sandbox_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// listed returns the tasks that the sandbox lists for a profile.
func listed(t *testing.T, s *sandbox.Sandbox, profile string) []passfort.Task {
	t.Helper()
	w := call(s, "GET", "/4.0/profiles/"+profile+"/tasks", "")
	expect(t, w, 200)
	var tasks []passfort.Task
	if err := json.Unmarshal(w.Body.Bytes(), &tasks); err != nil {
		t.Fatal(err)
	}
	return tasks
}

func TestSeededProfilesDependOnIDAndSeedOnly(t *testing.T) {
	profile := func(n int) string { return fmt.Sprintf("%08x-0000-0000-0000-000000000000", n) }
	a, b := newSandbox(t, sandbox.Options{Profiles: sandbox.SeededProfiles(1)}), newSandbox(t, sandbox.Options{Profiles: sandbox.SeededProfiles(1)})
	other := newSandbox(t, sandbox.Options{Profiles: sandbox.SeededProfiles(2)})
	ids := make(map[string]bool)
	expired, skipped := 0, 0
	const n = 200
	for i := range n {
		tasks := listed(t, a, profile(i))
		if !reflect.DeepEqual(tasks, listed(t, b, strings.ToUpper(profile(i)))) {
			t.Fatalf("profile %d differs between two sandboxes of one seed", i)
		}
		if reflect.DeepEqual(tasks, listed(t, other, profile(i))) {
			t.Fatalf("profile %d is the same under another seed", i)
		}
		live := make(map[string]int)
		for _, task := range tasks {
			if ids[task.ID] || task.State != decision.Incomplete || task.Variant.TaskType != task.Type || task.Variant.ID == "" {
				t.Fatalf("task %+v", task)
			}
			ids[task.ID] = true
			if task.IsExpired {
				expired++
			} else {
				live[task.Variant.Alias]++
			}
			if task.IsSkipped {
				skipped++
			}
		}
		if want := map[string]int{"identity": 1, "address": 1, "screening": 1, "source-of-funds": 1, "final-review": 1}; !reflect.DeepEqual(live, want) {
			t.Fatalf("profile %d has %v", i, live)
		}
	}
	if expired < n/3 || expired > 2*n/3 || skipped < n/3 || skipped > 2*n/3 {
		t.Errorf("%d expired, %d skipped of %d profiles", expired, skipped, n)
	}
}

func TestTasksOfProfilesMatchTheListing(t *testing.T) {
	s := newSandbox(t, sandbox.Options{Profiles: sandbox.SeededProfiles(1)})
	before := listed(t, s, profileID)
	first := before[len(before)-1]
	path := "/4.0/profiles/" + profileID + "/tasks/"
	expect(t, call(s, "GET", path+first.ID, ""), 200, `"state":"INCOMPLETE"`, `"alias":"final-review"`, `"type":"INDIVIDUAL_MANUAL_TASK"`)
	expect(t, call(s, "POST", path+first.ID, fail), 200, `"state":"COMPLETED_FAIL"`, `"is_complete":true`, `"alias":"final-review"`)
	expect(t, call(s, "POST", path+first.Variant.ID, pass), 404)
	expect(t, call(s, "GET", path+first.Variant.ID, ""), 404)
	expect(t, call(s, "POST", path+taskID, pass), 200, `"id":"`+taskID) // other tasks exist too
	after := listed(t, s, profileID)
	if len(after) != len(before)+1 || after[len(before)-1].State != decision.CompletedFail || after[len(before)].ID != taskID {
		t.Errorf("listed %+v", after)
	}
	if stats := s.Stats(); stats.DistinctTasks != 2 || stats.RepeatCompletions != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestReadProfiles(t *testing.T) {
	profiles, err := sandbox.ReadProfiles(strings.NewReader(`{
		"` + strings.ToUpper(profileID) + `": [
			{"id": "` + taskID + `", "type": "T", "state": "COMPLETED_FAIL", "is_skipped": true, "new": {}, "variant": {"id": "` + task(9) + `", "alias": "a\"b"}},
			{"id": "` + task(1) + `", "is_expired": true}
		],
		"` + task(0) + `": []
	}`))
	if err != nil {
		t.Fatal(err)
	}
	s := newSandbox(t, sandbox.Options{Profiles: profiles})
	expect(t, call(s, "GET", taskPath, ""), 200, `"state":"COMPLETED_FAIL"`, `"is_skipped":true`, `"alias":"a\"b"`, `"task_type":"T"`)
	if tasks := listed(t, s, profileID); len(tasks) != 2 || !tasks[1].IsExpired || tasks[0].Variant.Alias != `a"b` {
		t.Errorf("listed %+v", tasks)
	}
	if tasks := listed(t, s, task(5)); len(tasks) != 0 {
		t.Errorf("listed %+v", tasks)
	}
	expect(t, call(s, "POST", taskPath, pass), 200)
	if s.Stats().RepeatCompletions != 1 {
		t.Error("the task was complete from the start")
	}
}

func TestReadProfilesNamesEveryFault(t *testing.T) {
	for file, want := range map[string][]string{
		`[]`:    {"cannot unmarshal array", "want {"},
		`{} {}`: {"unexpected data"},
		``:      {"EOF"},
		`{"x": [], "` + profileID + `": [{"id": "1", "state": "DONE"}, {}]}`: {`profile "x"`, `task 1: id "1"`, `state "DONE"`, `task 2: id ""`},
	} {
		_, err := sandbox.ReadProfiles(strings.NewReader(file))
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %s", file, err, part)
			}
		}
	}
}
