package queue

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// lot is a Parking with what is in memory and parked, in the order of arrival.
type lot struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	p       *Parking[int]
	share   int
	arrived int
	held    map[Line][]int // in memory, by line
	of      map[int]decision.Task
	order   map[decision.Task][]int // numbers that came into memory, by task as it was written
	taken   map[Line]bool           // entries of it are being read again
}

func newLot(t interface {
	Helper()
	Fatalf(string, ...any)
}, share int) *lot {
	return &lot{
		t: t, p: NewParking(share, func(a, b int) bool { return a < b }, func(int) bool { return false }), share: share, held: make(map[Line][]int), of: make(map[int]decision.Task),
		order: make(map[decision.Task][]int), taken: make(map[Line]bool),
	}
}

func (l *lot) arrive(task decision.Task) (parked bool) {
	l.arrived++
	n := l.arrived
	l.of[n] = task
	of, park := l.p.Arrive(decision.Live, task)
	if park {
		if len(l.held[of]) < l.share && l.p.Parked(decision.Live) == 0 && len(l.taken) == 0 {
			l.t.Fatalf("%d of %v is parked though there is room and nothing before it is parked", n, of)
		}
		l.p.Park(of, n)
	} else {
		l.enter(of, n)
	}
	return park
}

func (l *lot) enter(of Line, n int) {
	l.t.Helper()
	l.held[of] = append(l.held[of], n)
	task := l.of[n]
	l.order[task] = append(l.order[task], n)
	if len(l.held[of]) > l.share {
		l.t.Fatalf("%d of %v in memory, more than %d", len(l.held[of]), of, l.share)
	}
	// Nothing of the same task, or of a profile where tasks are not known, is overtaken.
	for other, in := range l.order {
		if other.ProfileID != task.ProfileID || other.TaskID != task.TaskID && other.TaskID != "" && task.TaskID != "" {
			continue
		}
		for _, m := range in {
			if m > n {
				l.t.Fatalf("%d of %v came into memory after %d of %v", n, task, m, other)
			}
		}
	}
}

func (l *lot) next() bool {
	l.t.Helper()
	of, entries, ok := l.p.Next(decision.Live)
	if !ok {
		return false
	}
	if l.taken[of] || len(entries) == 0 {
		l.t.Fatalf("took %v of %v, taken before %v", entries, of, l.taken[of])
	}
	l.taken[of] = true
	for _, n := range entries {
		l.enter(of, n)
	}
	return true
}

func (l *lot) returned(of Line) {
	delete(l.taken, of)
	l.p.Returned(of)
}

// TestParkedDecisionsKeepTheirOrder lets decisions on known and unknown tasks of few
// profiles come and go at random; in the end every one of them has been in memory, in
// order, and nothing is left.
func TestParkedDecisionsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLot(t, rapid.IntRange(1, 6).Draw(t, "share"))
		done, removed := 0, false
		leave := func(of Line) {
			l.held[of] = l.held[of][1:]
			if len(l.held[of]) == 0 {
				delete(l.held, of)
			}
			done++
			l.p.Leave(of)
		}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				task := decision.Task{ProfileID: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "profile"))}
				if n := rapid.IntRange(0, 5).Draw(t, "task"); n > 0 {
					task.TaskID = fmt.Sprint(n % 3)
				}
				l.arrive(task)
			case 3:
				if of, ok := first(l.held); ok {
					leave(of)
				}
			case 4:
				l.next()
			case 5:
				if of, ok := first(l.taken); ok {
					l.returned(of)
				}
			case 6:
				if rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
					removed = true
					l.p.Remove(func(n int) bool {
						if n%2 == 1 {
							done++
						}
						return n%2 == 1
					})
				}
			}
			if l.p.Empty() != (len(l.held)+len(l.taken)+l.p.Parked(decision.Live) == 0) {
				t.Fatalf("empty %v with %d lines in memory and %d entries", l.p.Empty(), len(l.held), l.p.Parked(decision.Live))
			}
			if ready := len(l.p.ready[decision.Live]); !removed && ready > len(l.p.lines) {
				t.Fatalf("%d of %d lines are ready", ready, len(l.p.lines))
			}
		}
		for steps := 0; ; steps++ {
			if of, ok := first(l.held); ok {
				leave(of)
			} else if of, ok := first(l.taken); ok {
				l.returned(of)
			} else if !l.next() {
				break
			}
			if steps > 10_000 {
				t.Fatalf("no end")
			}
		}
		if done != l.arrived || !l.p.Empty() || l.p.Parked(decision.Live) != 0 {
			t.Fatalf("%d of %d done, empty %v, %d parked", done, l.arrived, l.p.Empty(), l.p.Parked(decision.Live))
		}
	})
}

// first returns the line that is first in its text.
func first[V any](m map[Line]V) (least Line, ok bool) {
	for of := range m {
		if !ok || fmt.Sprint(of) < fmt.Sprint(least) {
			least, ok = of, true
		}
	}
	return least, ok
}

func TestOneTaskParksBeyondItsShare(t *testing.T) {
	l := newLot(t, 4)
	sick := decision.Task{ProfileID: "p", TaskID: "sick"}
	for n := range 10 {
		if parked := l.arrive(sick); parked != (n >= 4) {
			t.Errorf("decision %d: parked %v", n, parked)
		}
	}
	if l.arrive(decision.Task{ProfileID: "p", TaskID: "well"}) {
		t.Error("another task of the profile is parked too")
	}
	if l.p.Parked(decision.Live) != 6 || l.next() {
		t.Errorf("%d parked; next is ready although memory is full", l.p.Parked(decision.Live))
	}
	of := Line{decision.Live, sick}
	l.p.Leave(of)
	if l.next() {
		t.Error("ready with three of four in memory")
	}
	l.p.Leave(of)
	l.held[of] = l.held[of][2:]
	if !l.next() || len(l.held[of]) != 4 || l.next() {
		t.Errorf("%v are in memory, want two more", l.held[of])
	}
	if !l.arrive(sick) {
		t.Error("a decision overtakes those that are being read again")
	}
}

func TestParkedEntriesOfALostPartitionGo(t *testing.T) {
	l := newLot(t, 1)
	for n := range 12 {
		task := decision.Task{ProfileID: "p", TaskID: fmt.Sprint(n % 2)}
		if n > 7 {
			task.TaskID = "" // behind both tasks
		}
		l.arrive(task)
	}
	l.p.Remove(func(n int) bool { return n%2 == 1 })
	if got := l.p.Parked(decision.Live); got != 5 { // of 10
		t.Errorf("%d parked", got)
	}
	for of := range l.held {
		l.p.Leave(of) // its line is ready
	}
	l.p.Remove(func(int) bool { return true })
	if !l.p.Empty() || l.p.Parked(decision.Live) != 0 || l.next() {
		t.Error("something is left")
	}
}
