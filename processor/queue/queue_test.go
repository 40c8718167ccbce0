package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// size is the size of each item in bytes.
const size = 100

func newItem(lane decision.Lane, task int) *Item {
	return &Item{Lane: lane, Task: decision.NewTask("p", fmt.Sprint(task))}
}

// begin takes the item that goes next, live first; nil: none is ready.
func begin(q *Queue) *Item {
	for _, lane := range decision.Lanes {
		if q.Ready(lane) {
			return q.Take(lane)
		}
	}
	return nil
}

// beginAny takes the item of a lane that goes next, which must be the oldest of the new
// or of the tried ones, or any with an odd number.
func beginAny(t *rapid.T, q *Queue, lane decision.Lane, odd bool) *Item {
	if odd {
		if i := q.TakeAny(lane, isOdd, func(n int) int { return n - 1 }); i != nil {
			return i
		}
	}
	oldest := map[bool]uint64{} // by whether it was tried
	q.ready[lane].all(func(h *readyHeap, at int) {
		i := (*h)[at].slot.head
		if seq := oldest[i.isActive()]; seq == 0 || i.seq < seq {
			oldest[i.isActive()] = i.seq
		}
	})
	i := q.Take(lane)
	if i.seq != oldest[false] && i.seq != oldest[true] {
		t.Fatalf("item %d went before %v", i.seq, oldest)
	}
	return i
}

func isOdd(i *Item) bool { return i.seq%2 == 1 }

// model is what the queue promises: what arrived and is not gone, in order, and
// what is in the caller's hands.
type model struct {
	q       *Queue
	room    Room
	now     time.Time
	arrived map[line][]*Item
	busy    map[decision.Task]*Item
	out     []*Item
	held    int
}

// line is the decisions on one task in one lane, which keep their order.
type line struct {
	task decision.Task
	lane decision.Lane
}

func (m *model) arrive(t *rapid.T) {
	i := newItem(rapid.SampledFrom(decision.Lanes[:]).Draw(t, "lane"), rapid.IntRange(0, 6).Draw(t, "task"))
	if !m.room.Enter(i.Lane, size) {
		if m.room.Items(i.Lane) == 0 {
			t.Fatal("an empty lane refused an item")
		}
		return
	}
	m.held++
	m.q.Add(i)
	at := line{i.Task, i.Lane}
	m.arrived[at] = append(m.arrived[at], i)
}

func (m *model) begin(t *rapid.T, lane decision.Lane) {
	i := beginAny(t, m.q, lane, rapid.Bool().Draw(t, "odd"))
	if m.busy[i.Task] != nil {
		t.Fatal("two items of one task at a time")
	}
	if first := m.arrived[line{i.Task, i.Lane}][0]; first != i {
		t.Fatalf("item %d of its task went before %d", i.seq, first.seq)
	}
	m.busy[i.Task] = i
	m.out = append(m.out, i)
}

func (m *model) end(t *rapid.T) {
	at := rapid.IntRange(0, len(m.out)-1).Draw(t, "which")
	i := m.out[at]
	m.out = slices.Delete(m.out, at, at+1)
	m.busy[i.Task] = nil
	if rapid.Bool().Draw(t, "fails") {
		m.q.Delay(i, m.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "delay"))*time.Second))
		return
	}
	m.q.Done(i)
	m.leave(i)
}

func (m *model) leave(i *Item) {
	m.room.Leave(i.Lane, size)
	m.held--
	at := line{i.Task, i.Lane}
	m.arrived[at] = slices.DeleteFunc(m.arrived[at], func(o *Item) bool { return o == i })
}

func (m *model) drain(t *rapid.T) {
	for _, i := range m.q.Remove(isOdd) {
		if !isOdd(i) || m.busy[i.Task] == i {
			t.Fatal("removed an item that was to stay")
		}
		m.leave(i)
	}
	for _, arrived := range m.arrived {
		for _, i := range arrived {
			if isOdd(i) && m.busy[i.Task] != i {
				t.Fatalf("item %d was to be removed", i.seq)
			}
		}
	}
}

// TestQueueKeepsTaskOrderAndLosesNothing runs the queue against the model, with
// any order of arrivals, failures and endings.
func TestQueueKeepsTaskOrderAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{q: New(false), room: NewRoom(50, 4000), now: time.Unix(0, 0), arrived: make(map[line][]*Item), busy: make(map[decision.Task]*Item)}
		share := NewShare(0.1)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				m.arrive(t)
			case 2, 3:
				live, backfill := m.q.Ready(decision.Live), m.q.Ready(decision.Backfill)
				lane, ok := share.Next(live, backfill && rapid.Bool().Draw(t, "backfill may"))
				if !ok {
					continue
				}
				if lane == decision.Backfill && share.owed < 1 && live {
					t.Fatal("backfill went before live, though it is owed nothing")
				}
				m.begin(t, lane)
				share.Charge(lane, m.q.Ready(decision.Backfill))
			case 4:
				if len(m.out) > 0 {
					m.end(t)
				}
			case 5:
				m.now = m.now.Add(time.Second)
				if due := m.q.Ripen(m.now); !due.IsZero() && !due.After(m.now) {
					t.Fatal("an item that is due was left delayed")
				}
				if rapid.IntRange(0, 9).Draw(t, "drain") == 0 {
					m.drain(t)
				}
			}
			if n := m.room.Items(decision.Live) + m.room.Items(decision.Backfill); n != m.held {
				t.Fatalf("%d items in the room, want %d", n, m.held)
			}
			if m.q.Empty() != (m.held == 0) {
				t.Fatalf("empty %v with %d items", m.q.Empty(), m.held)
			}
		}
		// All that is left comes out in the end.
		for _, i := range m.out {
			m.q.Done(i)
			m.leave(i)
		}
		for {
			m.q.Ripen(m.now.Add(time.Hour))
			i := begin(m.q)
			if i == nil {
				break
			}
			m.q.Done(i)
			m.leave(i)
		}
		if m.held != 0 || !m.q.Empty() || m.room.Bytes(decision.Live)+m.room.Bytes(decision.Backfill) != 0 {
			t.Fatalf("%d items are left; queue empty: %v", m.held, m.q.Empty())
		}
	})
}

func TestBegunItemKeepsItsTaskFromLive(t *testing.T) {
	q := New(false)
	backfill, live := newItem(decision.Backfill, 1), newItem(decision.Live, 1)
	q.Add(backfill)
	if begin(q) != backfill {
		t.Fatal("backfill did not begin")
	}
	q.Delay(backfill, time.Unix(10, 0))
	q.Add(live)
	if begin(q) != nil {
		t.Fatal("live began while backfill's own attempt was open")
	}
	q.Ripen(time.Unix(10, 0))
	if begin(q) != backfill {
		t.Fatal("backfill did not go on")
	}
	q.Done(backfill)
	if begin(q) != live {
		t.Fatal("live did not follow")
	}
}

func TestLiveOvertakesBackfillThatIsNotBegun(t *testing.T) {
	q := New(false)
	q.Add(newItem(decision.Backfill, 1))
	live := newItem(decision.Live, 1)
	q.Add(live)
	if q.Ready(decision.Backfill) || begin(q) != live {
		t.Fatal("live waited behind a backfill of its own task")
	}
}

func TestEachTriedSkipsItemsThatNeverBegan(t *testing.T) {
	q := New(false)
	delayed, ready, fresh, lookup := newItem(decision.Live, 1), newItem(decision.Live, 2), newItem(decision.Live, 3), newItem(decision.Live, 4)
	lookup.Task = decision.Task{ProfileID: "another"}
	for _, i := range []*Item{delayed, ready, fresh, lookup} {
		q.Add(i)
	}
	for _, i := range []*Item{begin(q), begin(q)} {
		q.Delay(i, time.Unix(map[*Item]int64{delayed: 20, ready: 10}[i], 0))
	}
	q.Ripen(time.Unix(10, 0))
	var tried []*Item
	q.EachTried(func(i *Item) { tried = append(tried, i) })
	if !slices.Equal(tried, []*Item{delayed, ready}) {
		t.Errorf("%d items were tried, want the delayed and the ready one", len(tried))
	}
}

// TestAdoptedItemHasATaskOfItsOwn, in which it arrived when it was adopted.
func TestAdoptedItemHasATaskOfItsOwn(t *testing.T) {
	q, now := New(true), time.Unix(0, 0)
	adopted, own := newItem(decision.Live, 1), decision.Task{ProfileID: "p", TaskID: "own"}
	items := []*Item{newItem(decision.Live, 1), adopted, newItem(decision.Live, 2)}
	for _, i := range items {
		if i == adopted {
			q.Adopt(i, own)
		} else {
			q.Add(i)
			q.Take(decision.Live)
		}
	}
	if !q.Busy(own) || q.TasksOf("p") != 3 {
		t.Errorf("busy %v, %d tasks of its profile, want 3", q.Busy(own), q.TasksOf("p"))
	}
	for _, i := range items {
		q.Delay(i, now)
	}
	q.Ripen(now)
	for n, want := range items {
		if i := q.Take(decision.Live); i != want {
			t.Fatalf("item %d went as number %d", i.seq, n)
		}
		q.Done(want)
	}
	if q.Busy(own) || !q.Empty() {
		t.Error("something is left")
	}
}

func BenchmarkQueue(b *testing.B) {
	q, share := New(false), NewShare(0.1)
	for n := range 5000 {
		q.Add(newItem(decision.Lanes[n%2], n))
	}
	b.ReportAllocs()
	for b.Loop() {
		lane, _ := share.Next(q.Ready(decision.Live), q.Ready(decision.Backfill))
		i := q.Take(lane)
		share.Charge(lane, q.Ready(decision.Backfill))
		q.Done(i)
		q.Add(i)
	}
}

// TestTriedItemsTakeAThirdOfTheTurns has items that come back at once, before others that
// are new.
func TestTriedItemsTakeAThirdOfTheTurns(t *testing.T) {
	q := New(false)
	now := time.Unix(0, 0)
	for n := range 10 {
		q.Add(newItem(decision.Live, n))
	}
	for range 10 {
		q.Delay(q.Take(decision.Live), now)
	}
	q.Ripen(now)
	for n := range 10 {
		q.Add(newItem(decision.Live, 100+n))
	}
	var turns []uint64
	for range 12 {
		i := q.Take(decision.Live)
		turns = append(turns, i.seq)
		if i.seq <= 10 {
			q.Delay(i, now)
			q.Ripen(now)
		} else {
			q.Done(i)
		}
	}
	if want := []uint64{11, 12, 1, 13, 14, 1, 15, 16, 1, 17, 18, 1}; !slices.Equal(turns, want) {
		t.Errorf("took %v, want %v", turns, want)
	}
	for q.Ready(decision.Live) { // where there are no new ones, the others have every turn
		q.Done(q.Take(decision.Live))
	}
	if !q.Empty() {
		t.Error("something is left")
	}
}
