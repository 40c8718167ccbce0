package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// unknown is the number of the alias that no task has.
const unknown = 9

// alias is the owner of an item that names its task by an alias, a number.
type alias int

// find returns the task that an item's alias names.
func find(i *Item) (taskID string, ok bool) {
	n, ok := i.Owner.(alias)
	if !ok || n == unknown {
		return "", false
	}
	return fmt.Sprint(n), true
}

// gateModel is the model of a queue with items whose tasks are not known yet.
type gateModel struct {
	q       *Queue
	now     time.Time
	arrived map[line][]*Item // and not gone, in order
	busy    map[decision.Task]*Item
	looking map[line]*Item // items that are being looked up, by profile and lane
	out     []*Item
	left    int
}

// line is where the item belongs, whether its task is known yet or not.
func (m *gateModel) line(i *Item) line {
	id := i.Task.TaskID
	if id == "" {
		id, _ = find(i)
	}
	return line{decision.NewTask(i.Task.ProfileID, id), i.Lane}
}

func (m *gateModel) arrive(t *rapid.T) {
	n := rapid.IntRange(0, 3).Draw(t, "task")
	i := &Item{Lane: rapid.SampledFrom(decision.Lanes[:]).Draw(t, "lane")}
	i.Task.ProfileID = fmt.Sprint("p", rapid.IntRange(0, 1).Draw(t, "profile"))
	if rapid.Bool().Draw(t, "by alias") {
		if n == 3 {
			n = unknown
		}
		i.Owner = alias(n)
	} else {
		i.Task.TaskID = fmt.Sprint(n)
	}
	m.q.Add(i)
	m.left++
	if n != unknown {
		m.arrived[m.line(i)] = append(m.arrived[m.line(i)], i)
	}
}

func (m *gateModel) begin(t *rapid.T, odd bool) {
	for _, lane := range decision.Lanes {
		if m.q.Ready(lane) {
			m.active(t, beginAny(t, m.q, lane, odd))
			return
		}
	}
}

func (m *gateModel) active(t *rapid.T, i *Item) {
	if !i.Resolved() {
		at := line{decision.Task{ProfileID: i.Task.ProfileID}, i.Lane}
		if m.looking[at] != nil {
			t.Fatal("two look-ups behind one gate")
		}
		m.looking[at] = i
	} else {
		if m.busy[i.Task] != nil {
			t.Fatal("two items of one task at a time")
		}
		if first := m.arrived[m.line(i)][0]; first != i {
			t.Fatalf("item %d of its task went before %d", i.seq, first.seq)
		}
		m.busy[i.Task] = i
	}
	m.out = append(m.out, i)
}

func (m *gateModel) end(t *rapid.T, at int, fails bool) {
	i := m.out[at]
	m.out = slices.Delete(m.out, at, at+1)
	if !i.Resolved() {
		delete(m.looking, line{decision.Task{ProfileID: i.Task.ProfileID}, i.Lane})
	} else {
		delete(m.busy, i.Task)
	}
	switch {
	case fails:
		m.q.Delay(i, m.now.Add(time.Second))
	case i.Resolved():
		m.arrived[m.line(i)] = m.arrived[m.line(i)][1:]
		m.q.Done(i)
		m.left--
	default:
		for _, w := range m.q.Resolve(i, find) {
			if w.Queued() {
				t.Fatal("an item without a task is still queued")
			}
			m.left--
		}
		for _, w := range i.gate.waiting {
			if !w.Resolved() {
				t.Fatal("an item is to be looked up though its profile's tasks were listed")
			}
		}
		if id, ok := find(i); ok {
			m.q.Move(i, id)
		} else {
			m.q.Done(i)
			m.left--
		}
	}
}

// TestGatesKeepTaskOrderHoweverTasksAreNamed runs the queue with items by ID and
// by alias: whatever look-ups bring, each task's items go in the order in which
// they arrived, and none is lost.
func TestGatesKeepTaskOrderHoweverTasksAreNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &gateModel{q: New(true), now: time.Unix(0, 0), arrived: make(map[line][]*Item), busy: make(map[decision.Task]*Item), looking: make(map[line]*Item)}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				m.arrive(t)
			case 3:
				m.begin(t, rapid.Bool().Draw(t, "odd"))
			case 4:
				if len(m.out) > 0 {
					m.end(t, rapid.IntRange(0, len(m.out)-1).Draw(t, "which"), rapid.Bool().Draw(t, "fails"))
				}
			case 5:
				m.now = m.now.Add(time.Second)
				m.q.Ripen(m.now)
			}
			if m.q.Empty() != (m.left == 0) {
				t.Fatalf("empty %v with %d items", m.q.Empty(), m.left)
			}
			want := map[string]int{}
			for of := range m.q.tasks {
				want[of.ProfileID]++
			}
			for of := range m.q.gates {
				want[of.profileID]++
			}
			for _, p := range []string{"p0", "p1"} {
				if got := m.q.TasksOf(p); got != want[p] {
					t.Fatalf("%d tasks and gates of %s, want %d", got, p, want[p])
				}
			}
		}
		for n := 0; m.left > 0 && n < 10_000; n++ {
			m.now = m.now.Add(time.Second)
			m.q.Ripen(m.now)
			m.begin(t, false)
			for len(m.out) > 0 {
				m.end(t, 0, false)
			}
		}
		if m.left != 0 || !m.q.Empty() {
			t.Fatalf("%d items, %d tasks, %d gates and %d profiles are left", m.left, len(m.q.tasks), len(m.q.gates), len(m.q.profiles))
		}
	})
}

func TestMovedItemGoesBeforeLaterOnesOfItsTask(t *testing.T) {
	q := New(false)
	add := func(taskID string) *Item {
		i := &Item{Task: decision.NewTask("p", taskID)}
		q.Add(i)
		return i
	}
	moved := add("")
	q.Take(decision.Live)
	q.Move(moved, "1") // found
	if q.Take(decision.Live) != moved {
		t.Fatal("it does not go")
	}
	after, other := add("1"), add("2")
	q.Move(moved, "2") // gone, and found again
	if first := q.Take(decision.Live); first != moved {
		t.Errorf("%v went first on its new task", first.Task)
	}
	if next := q.Take(decision.Live); next != after {
		t.Error("its old task was not released")
	}
	q.Done(moved)
	if next := q.Take(decision.Live); next != other {
		t.Error("its new task was not released")
	}
}

func TestRemoveTakesItemsFromBehindAGate(t *testing.T) {
	q := New(false)
	kept, gone := 0, 0
	leaves := func(i *Item) bool { return i.Owner.(int)%2 == 0 }
	for n := range 20 {
		i := &Item{Owner: n, Task: decision.NewTask("p", fmt.Sprint(n%3))}
		if n%5 == 0 {
			i.Task.TaskID = ""
		}
		if q.Add(i); leaves(i) {
			gone++
		} else {
			kept++
		}
	}
	if removed := q.Remove(leaves); len(removed) != gone {
		t.Errorf("%d removed, want %d", len(removed), gone)
	}
	n := 0
	for i := begin(q); i != nil; i = begin(q) {
		if leaves(i) {
			t.Error("an item went that was to be removed")
		}
		if n++; i.Resolved() {
			q.Done(i)
		} else {
			q.Move(i, "0")
			n--
		}
	}
	if n != kept || !q.Empty() {
		t.Errorf("%d went, want %d; %d gates are left", n, kept, len(q.gates))
	}
}
