package rows

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// TestRelationsAreThoseOfAModel compares with rows that are held in memory and
// looked at pair by pair. So little is held in memory that every step spills.
func TestRelationsAreThoseOfAModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		type row struct {
			id    string
			task  decision.Task
			state decision.State
		}
		lastWins := rapid.Bool().Draw(t, "last wins")
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
			return row{
				id:    rapid.SampledFrom([]string{"", "", "a", "b", "c", "d"}).Draw(t, "id"),
				task:  decision.NewTask("p", fmt.Sprint("t", rapid.IntRange(0, 5).Draw(t, "task"))),
				state: rapid.SampledFrom([]decision.State{decision.CompletedPass, decision.CompletedPass, decision.CompletedFail}).Draw(t, "state"),
			}
		}), 0, 40).Draw(t, "rows")

		r := &relations{lastWins: lastWins}
		defer r.close()
		for _, s := range []*spill{&r.entries, &r.group, &r.findings} {
			s.dir, s.most = dir, rapid.IntRange(1, 8).Draw(t, "in memory")
		}
		place := func(i int) place { return placeOf(i/10, i%10+2) }
		for i, row := range rows {
			d := decision.Decision{ID: row.id, OwnID: row.id != "", Task: row.task, State: row.state}
			if err := r.add(place(i), &d); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.find(); err != nil {
			t.Fatal(err)
		}
		got := make(map[int][]string)
		found := newFindings(r)
		for i := range rows {
			if at, ok := found.peek(); !ok || at != place(i) {
				continue
			}
			e, err := found.at(place(i))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range e {
				got[i] = append(got[i], fmt.Sprint(e.relation(), e.extra))
			}
		}
		if at, ok := found.peek(); ok || found.err != nil {
			t.Fatalf("left over: %v, %v", at, found.err)
		}

		for i, row := range rows {
			var want []string
			note := func(relation relation, other int) { want = append(want, fmt.Sprint(relation, uint64(place(other)))) }
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
				note(sameIDOtherTask, conflict)
			}
			switch {
			case opposite >= 0 && !lastWins:
				note(oppositeState, opposite)
			case opposite >= 0 && last != i:
				note(supersededByLater, last)
			}
			if j := first(sameID); !anyConflict && j >= 0 && j < i {
				note(sameDecision, j)
			}
			if j := first(sameTask); opposite < 0 && j < i {
				note(sameTaskAndState, j)
			}
			if !slices.Equal(got[i], want) {
				t.Fatalf("row %d %+v: got %v, want %v", i, row, got[i], want)
			}
		}
	})
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
