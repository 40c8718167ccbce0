package rows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// generate returns the first n decisions.
func generate(t testing.TB, n int, o rows.GeneratorOptions) []decision.Decision {
	t.Helper()
	g, err := rows.NewGenerator(o)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]decision.Decision, n)
	for i := range all {
		row, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		d, err := row.Decode()
		if err != nil || row.Line != i+1 || string(row.Key) != d.Task.ProfileID {
			t.Fatalf("%d: %s, key %s: %v", row.Line, row.Value, row.Key, err)
		}
		all[i] = d
	}
	return all
}

func TestGeneratorMakesValidAndPlausibleDecisions(t *testing.T) {
	const n = 100_000
	all := generate(t, n, rows.GeneratorOptions{Seed: 1, BatchID: "demo"})
	tasks, profiles, profileOf := map[decision.Task]int{}, map[string]bool{}, map[string]string{}
	failed := 0
	for i, d := range all {
		if want := fmt.Sprintf("demo-%06d", i+1); d.ID != want {
			t.Fatalf("ID %s; want %s", d.ID, want)
		}
		if d.Source == "" || d.DecidedAt == "" || d.BatchID != "demo" {
			t.Fatalf("%+v", d)
		}
		if other, ok := profileOf[d.Task.TaskID]; ok && other != d.Task.ProfileID {
			t.Fatalf("task %s of two profiles", d.Task.TaskID)
		}
		profileOf[d.Task.TaskID] = d.Task.ProfileID
		tasks[d.Task]++
		profiles[d.Task.ProfileID] = true
		if d.State == decision.CompletedFail {
			failed++
		}
	}
	most, repeated := 0, 0
	for _, count := range tasks {
		most = max(most, count)
		if count > 1 {
			repeated += count
		}
	}
	if repeated < n*9/100 || repeated > n*11/100 || most < 150 || most > 500 {
		t.Errorf("%d decisions on repeated tasks, %d on the busiest", repeated, most)
	}
	if failed < n*9/100 || failed > n*11/100 || len(profiles) < 9_900 || len(profiles) > 10_000 {
		t.Errorf("%d failed, %d profiles", failed, len(profiles))
	}
	if all[0].DecidedAt != "2026-01-01T00:00:00.000Z" || all[150].DecidedAt != "2026-01-01T00:00:01.500Z" {
		t.Errorf("decided at %s and %s", all[0].DecidedAt, all[150].DecidedAt)
	}
}

func TestGeneratorRepeatsItselfForTheSameSeed(t *testing.T) {
	one, again, other := generate(t, 1000, rows.GeneratorOptions{Seed: 7}), generate(t, 1000, rows.GeneratorOptions{Seed: 7}), generate(t, 1000, rows.GeneratorOptions{Seed: 8})
	same := 0
	for i := range one {
		if one[i] != again[i] {
			t.Fatalf("%+v, then %+v", one[i], again[i])
		}
		if one[i].Task == other[i].Task {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of another seed's tasks are the same", same)
	}
}

func TestGeneratorWithExtremeOptions(t *testing.T) {
	start := time.Date(2030, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	for i, d := range generate(t, 100, rows.GeneratorOptions{Profiles: 1, Repeated: 1, RepeatedTasks: 1, Fail: -1, Start: start}) {
		if d.Task != generate(t, 1, rows.GeneratorOptions{Profiles: 1, Repeated: 1, RepeatedTasks: 1})[0].Task || d.State != decision.CompletedPass {
			t.Fatalf("%d: %+v", i, d)
		}
		if i == 0 && d.DecidedAt != "2030-01-01T00:00:00.000Z" {
			t.Error(d.DecidedAt)
		}
	}
	tasks := map[decision.Task]bool{}
	for _, d := range generate(t, 10_000, rows.GeneratorOptions{Repeated: -1}) {
		tasks[d.Task] = true
	}
	if len(tasks) != 10_000 {
		t.Errorf("%d tasks, want none repeated", len(tasks))
	}
}

func TestGeneratorReportsEveryFaultOfItsOptions(t *testing.T) {
	_, err := rows.NewGenerator(rows.GeneratorOptions{
		Profiles: -1, RepeatedTasks: -1, Repeated: 2, Fail: 2, BatchID: strings.Repeat("b", 1025),
	})
	want := "profiles: must be 0 or more, is -1\nrepeated tasks: must be 0 or more, is -1\n" +
		"repeated: must be a share of at most 1, is 2\nfail: must be a share of at most 1, is 2\nbatch ID: must be UTF-8 text of at most 1024 bytes"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
