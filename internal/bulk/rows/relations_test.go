package rows

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// modelRow is a row of the model.
type modelRow struct {
	id    string
	task  decision.Task
	state decision.State
}

// modelPlace returns the place of the ith row: ten rows a file, after a header.
func modelPlace(i int) place { return placeOf(i/10, i%10+2) }

// TestRelationsMatchAModel compares with a model that holds all rows in memory and
// compares them pair by pair. The spills hold so few entries that every step writes runs.
func TestRelationsMatchAModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		lastWins := rapid.Bool().Draw(t, "last wins")
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) modelRow {
			return modelRow{
				id:    rapid.SampledFrom([]string{"", "", "a", "b", "c", "d"}).Draw(t, "id"),
				task:  decision.NewTask("p", fmt.Sprint("t", rapid.IntRange(0, 5).Draw(t, "task"))),
				state: rapid.SampledFrom([]decision.State{decision.CompletedPass, decision.CompletedPass, decision.CompletedFail}).Draw(t, "state"),
			}
		}), 0, 40).Draw(t, "rows")

		r := newRelations(dir, lastWins)
		defer r.close()
		for _, s := range []*entries{&r.entries, &r.group, &r.found} {
			s.Limit = entrySize * rapid.IntRange(1, 8).Draw(t, "in memory")
		}
		for i, row := range rows {
			d := decision.Decision{ID: row.id, OwnID: row.id != "", Task: row.task, State: row.state}
			if err := r.add(modelPlace(i), &d); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.find(); err != nil {
			t.Fatal(err)
		}
		found := r.read()
		for i, row := range rows {
			var got []string
			if at, ok := found.peek(); ok && at == modelPlace(i) {
				entries, err := found.take(at)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					got = append(got, fmt.Sprint(relationOf(&e), e.extra))
				}
			}
			if want := modelRelations(rows, i, lastWins); !slices.Equal(got, want) {
				t.Fatalf("row %d %+v: got %v, want %v", i, row, got, want)
			}
		}
		if at, ok := found.peek(); ok || found.err != nil {
			t.Fatalf("left over: %v, %v", at, found.err)
		}
	})
}

// modelRelations returns the relations of the ith row, each with the place of the other
// row.
func modelRelations(rows []modelRow, i int, lastWins bool) (all []string) {
	row := rows[i]
	add := func(r relation, other int) { all = append(all, fmt.Sprint(r, uint64(modelPlace(other)))) }
	first := func(of func(int) bool) int {
		return slices.IndexFunc(indices(len(rows)), of)
	}
	sameID := func(j int) bool { return row.id != "" && rows[j].id == row.id }
	sameTask := func(j int) bool { return rows[j].task == row.task }
	conflict := first(func(j int) bool { return sameID(j) && !sameTask(j) })
	anyConflict := first(func(j int) bool {
		return sameID(j) && first(func(k int) bool { return sameID(k) && rows[k].task != rows[j].task }) >= 0
	}) >= 0
	opposite := first(func(j int) bool { return sameTask(j) && rows[j].state != row.state })
	last := -1
	for j := range rows {
		if sameTask(j) {
			last = j
		}
	}
	if anyConflict {
		add(sameIDOtherTask, conflict)
	}
	switch {
	case opposite >= 0 && !lastWins:
		add(oppositeState, opposite)
	case opposite >= 0 && last != i:
		add(supersededByLater, last)
	}
	if j := first(sameID); !anyConflict && j >= 0 && j < i {
		add(sameDecision, j)
	}
	if j := first(sameTask); opposite < 0 && j < i {
		add(sameTaskAndState, j)
	}
	return all
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
