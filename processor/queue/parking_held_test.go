package queue

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// heldLot is a Parking whose user parks what is held, as the processor does. Decision n is in
// batch n%3.
type heldLot struct {
	t       *rapid.T
	p       *Parking[int]
	held    [3]bool
	task    map[int]decision.Task
	line    map[int]Line // of those in memory, or on their way there
	memory  map[int]bool
	transit map[Line][]int // taken by Next
	done    map[int]bool
}

func (l *heldLot) waits(n int) bool { return l.held[n%3] }

// meets reports whether two decisions may be on the same task.
func (l *heldLot) meets(a, b int) bool {
	x, y := l.task[a], l.task[b]
	return x.ProfileID == y.ProfileID && (x.TaskID == y.TaskID || x.TaskID == "" || y.TaskID == "")
}

func (l *heldLot) unload(n int) {
	of := l.line[n]
	l.p.Unload(of, n)
	l.p.Leave(of)
	delete(l.memory, n)
	delete(l.line, n)
}

// enter puts a decision that counts in a line into memory, or parks it.
func (l *heldLot) enter(n int) {
	if l.waits(n) || l.p.Follows(l.line[n], n) {
		l.unload(n)
		return
	}
	l.memory[n] = true
}

func (l *heldLot) arrive(task decision.Task) {
	n := len(l.task)
	l.task[n] = task
	of, park := l.p.Arrive(decision.Live, task)
	if park {
		l.p.Park(of, n)
		return
	}
	l.line[n] = of
	l.enter(n)
}

// hold parks what is held now, and what follows it.
func (l *heldLot) hold(batch int, held bool) {
	l.held[batch] = held
	from := make(map[Line]int)
	for n := range l.memory {
		if l.waits(n) || l.p.Follows(l.line[n], n) {
			if first, ok := from[l.line[n]]; !ok || n < first {
				from[l.line[n]] = n
			}
		}
	}
	for n := range maps.Clone(l.memory) {
		if first, ok := from[l.line[n]]; ok && n >= first {
			l.unload(n)
		}
	}
	l.p.Recheck()
}

func (l *heldLot) next() bool {
	of, entries, ok := l.p.Next(decision.Live)
	if !ok {
		return false
	}
	if len(l.transit[of]) > 0 || len(entries) == 0 {
		l.t.Fatalf("took %v of %v, of which %v are on their way", entries, of, l.transit[of])
	}
	for _, n := range entries {
		if l.waits(n) {
			l.t.Fatalf("took %d, which is held", n)
		}
		l.line[n] = of
	}
	l.transit[of] = entries
	return true
}

// bring brings in the next of a line that was taken.
func (l *heldLot) bring(of Line) {
	n := l.transit[of][0]
	l.transit[of] = l.transit[of][1:]
	l.enter(n)
	if len(l.transit[of]) == 0 {
		delete(l.transit, of)
		l.p.Returned(of)
	}
}

// finish carries out the decision in memory that is number i of those whose turn it is.
func (l *heldLot) finish(i int) bool {
	var turn []int
	for _, n := range slices.Sorted(maps.Keys(l.memory)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(l.memory)), func(m int) bool { return m < n && l.meets(m, n) }) {
			turn = append(turn, n)
		}
	}
	if len(turn) == 0 {
		return false
	}
	n := turn[i%len(turn)]
	if l.waits(n) {
		l.t.Fatalf("%d is in memory and held", n)
	}
	if l.p.Follows(l.line[n], n) {
		if !l.line[n].isProfile() {
			l.t.Fatalf("%d is in memory, and what it must not overtake is parked", n)
		}
		l.unload(n)
		return true
	}
	for m := range n {
		if !l.done[m] && l.meets(m, n) {
			l.t.Fatalf("%d of %v goes before %d of %v", n, l.task[n], m, l.task[m])
		}
	}
	l.done[n] = true
	l.p.Leave(l.line[n])
	delete(l.memory, n)
	delete(l.line, n)
	return true
}

// TestHeldDecisionsKeepTheOrderOfTasks holds and resumes batches while decisions on known and
// unknown tasks of few profiles come and go: none goes before an older one of its task, and once
// nothing is held all go.
func TestHeldDecisionsKeepTheOrderOfTasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &heldLot{
			t: t, task: make(map[int]decision.Task), line: make(map[int]Line), memory: make(map[int]bool),
			transit: make(map[Line][]int), done: make(map[int]bool),
		}
		l.p = NewParking(rapid.IntRange(1, 6).Draw(t, "share"), func(a, b int) bool { return a < b }, l.waits)
		for range rapid.IntRange(0, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				task := decision.Task{ProfileID: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "profile"))}
				if n := rapid.IntRange(0, 5).Draw(t, "task"); n > 0 {
					task.TaskID = fmt.Sprint(n % 3)
				}
				l.arrive(task)
			case 3:
				l.finish(rapid.IntRange(0, 5).Draw(t, "turn"))
			case 4:
				l.next()
			case 5:
				if of, ok := first(l.transit); ok {
					l.bring(of)
				}
			case 6:
				l.hold(rapid.IntRange(0, 2).Draw(t, "batch"), rapid.Bool().Draw(t, "held"))
			}
		}
		for batch := range l.held {
			l.hold(batch, false)
		}
		for {
			if of, ok := first(l.transit); ok {
				l.bring(of)
			} else if !l.next() && !l.finish(0) {
				break
			}
		}
		if len(l.done) != len(l.task) || !l.p.Empty() || l.p.Parked(decision.Live) != 0 {
			t.Fatalf("%d of %d done, empty %v, %d parked", len(l.done), len(l.task), l.p.Empty(), l.p.Parked(decision.Live))
		}
	})
}
