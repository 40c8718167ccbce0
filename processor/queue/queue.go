// Package queue says which decision goes next. It keeps the decisions on one task
// in order, holds back those that wait for a retry, and shares calls between the
// lanes. It is pure: no lock, no clock, no goroutine; the processor owns it and
// passes the time in.
//
// It leaves to others whether a call may be made at all (processor/pacer,
// processor/health), and everything that happens between Take and Done.
package queue

import (
	"container/heap"
	"time"

	"verdict/internal/decision"
)

// Queue holds the decisions that were added and are not done.
type Queue struct {
	tasks    map[decision.Task]*task
	gates    map[gateKey]*gate
	ready    readyLanes
	delayed  delayHeap
	arrivals uint64
	profiles profileCounts
}

// New returns an empty Queue. With countProfiles it keeps the figure that
// TasksOf returns.
func New(countProfiles bool) *Queue {
	q := &Queue{tasks: make(map[decision.Task]*task), gates: make(map[gateKey]*gate)}
	if countProfiles {
		q.profiles = make(profileCounts)
	}
	return q
}

// Arrive returns the next place by arrival.
func (q *Queue) Arrive() uint64 {
	q.arrivals++
	return q.arrivals
}

// Add puts an item behind those of its task that arrived before, or behind its profile's gate.
func (q *Queue) Add(i *Item) {
	if i.Arrival == 0 {
		i.Arrival = q.Arrive()
	}
	i.seq, i.delayed = i.Arrival, -1
	if !q.waitBehindGate(i) {
		q.join(i)
	}
}

// Adopt gives an item that is not in the queue a line of its own, in which it is
// active. key must not be the task of any decision.
func (q *Queue) Adopt(i *Item, key decision.Task) {
	i.seq, i.delayed = q.Arrive(), -1
	i.task = &task{slot: slot{index: -1}, key: key, active: i}
	q.tasks[key] = i.task
	q.profiles.add(key.ProfileID, 1)
}

// Busy reports whether an item of the task is waiting or active.
func (q *Queue) Busy(t decision.Task) bool { return q.tasks[t] != nil }

// Ready reports whether an item of the lane can be taken.
func (q *Queue) Ready(lane decision.Lane) bool {
	return len(q.ready[lane].fresh)+len(q.ready[lane].tried) > 0
}

// Take takes a ready item of a lane, which must have one: the oldest that was not taken
// before or, in turn, the oldest that was. Until Done, Delay or Move it keeps its task.
func (q *Queue) Take(lane decision.Lane) *Item { return q.take(q.ready[lane].next(), 0) }

// TakeAny takes one of the ready items of a lane that match; nil: none does. pick chooses
// one of n, from 0.
func (q *Queue) TakeAny(lane decision.Lane, match func(*Item) bool, pick func(n int) int) *Item {
	type place struct {
		of *readyHeap
		at int
	}
	var found []place
	q.ready[lane].all(func(h *readyHeap, at int) {
		if match((*h)[at].slot.head) {
			found = append(found, place{h, at})
		}
	})
	if len(found) == 0 {
		return nil
	}
	p := found[pick(len(found))]
	return q.take(p.of, p.at)
}

// TakeLeast takes the ready item of a lane with the least key, and the oldest of
// those. The lane must have one.
func (q *Queue) TakeLeast(lane decision.Lane, key func(*Item) time.Time) *Item {
	var of *readyHeap
	least := 0
	q.ready[lane].all(func(h *readyHeap, at int) {
		if of == nil {
			of, least = h, at
			return
		}
		r, best := (*h)[at], (*of)[least]
		if c := key(r.slot.head).Compare(key(best.slot.head)); c < 0 || c == 0 && r.seq < best.seq {
			of, least = h, at
		}
	})
	return q.take(of, least)
}

func (q *Queue) take(from *readyHeap, at int) *Item {
	i := heap.Remove(from, at).(*slot).head
	if i.gate != nil {
		i.gate.take(i)
	} else {
		i.task.take(i)
	}
	return i
}

// Done ends an active item. The next one of its task becomes ready.
func (q *Queue) Done(i *Item) {
	t, g := i.task, i.gate
	i.task, i.gate = nil, nil
	if g != nil {
		g.active = nil
		q.settleGate(g)
		return
	}
	t.active = nil
	q.settleTask(t)
}

// Delay makes an active item ready when it is due. Until then it holds its own
// task and nothing else.
func (q *Queue) Delay(i *Item, due time.Time) {
	i.due = due
	heap.Push(&q.delayed, i)
}

// Hasten makes a delayed item ready by at.
func (q *Queue) Hasten(i *Item, at time.Time) {
	if i.delayed >= 0 && i.due.After(at) {
		i.due = at
		heap.Fix(&q.delayed, i.delayed)
	}
}

// Ripen makes the items ready that are due at now. It returns when the next one
// is due; zero: none is delayed.
func (q *Queue) Ripen(now time.Time) time.Time {
	for len(q.delayed) > 0 {
		i := q.delayed[0]
		if i.due.After(now) {
			return i.due
		}
		heap.Pop(&q.delayed)
		q.ready.arrange(i.place(), i)
	}
	return time.Time{}
}

func (i *Item) place() *slot {
	if i.gate != nil {
		return &i.gate.slot
	}
	return &i.task.slot
}

// Remove takes out the items that match, except those in the caller's hands.
func (q *Queue) Remove(match func(*Item) bool) []*Item {
	var removed []*Item
	leaves := func(i *Item) bool {
		if !match(i) {
			return false
		}
		removed = append(removed, i)
		return true
	}
	for _, t := range q.tasks {
		for lane := range t.waiting {
			t.waiting[lane] = without(t.waiting[lane], leaves)
		}
		if q.releaseActive(&t.active, &t.slot, leaves) {
			q.settleTask(t)
		}
	}
	for _, g := range q.gates {
		g.waiting = without(g.waiting, leaves)
		if q.releaseActive(&g.active, &g.slot, leaves) {
			q.settleGate(g)
		}
	}
	for _, i := range removed {
		i.task, i.gate = nil, nil
	}
	return removed
}

// Each calls f with every item except those in the caller's hands.
func (q *Queue) Each(f func(*Item)) {
	of := func(active *Item, s *slot) {
		if active != nil && (active.delayed >= 0 || s.index >= 0) {
			f(active)
		}
	}
	for _, t := range q.tasks {
		of(t.active, &t.slot)
		for _, w := range t.waiting {
			for _, i := range w {
				f(i)
			}
		}
	}
	for _, g := range q.gates {
		of(g.active, &g.slot)
		for _, i := range g.waiting {
			f(i)
		}
	}
}

// without returns w without the items of which leaves is true. The array of w is
// not changed, since a slice that was popped shares it.
func without(w []*Item, leaves func(*Item) bool) []*Item {
	var kept []*Item
	for _, i := range w {
		if !leaves(i) {
			kept = append(kept, i)
		}
	}
	return kept
}

// releaseActive takes the active item out of its line if the item waits for its
// turn and leaves is true of it. It reports whether the line now has no active
// item.
func (q *Queue) releaseActive(active **Item, s *slot, leaves func(*Item) bool) bool {
	i := *active
	switch {
	case i == nil:
		return true
	case i.delayed < 0 && s.index < 0: // in the caller's hands
		return false
	case !leaves(i):
		return false
	}
	if i.delayed >= 0 {
		heap.Remove(&q.delayed, i.delayed)
	}
	*active = nil
	return true
}

// EachTried calls f with every active item that waits for its next turn.
func (q *Queue) EachTried(f func(*Item)) {
	for _, i := range q.delayed {
		f(i)
	}
	for lane := range q.ready {
		for _, r := range q.ready[lane].tried {
			f(r.slot.head)
		}
	}
}

func (i *Item) isActive() bool {
	return i.gate != nil && i.gate.active == i || i.task != nil && i.task.active == i
}

// TasksOf returns how many tasks and gates of a profile have decisions in the
// queue.
func (q *Queue) TasksOf(profileID string) int { return q.profiles[profileID] }

// profileCounts holds the number of tasks and gates of each profile; nil: they are
// not counted.
type profileCounts map[string]int

func (c profileCounts) add(profileID string, n int) {
	if c == nil {
		return
	}
	if c[profileID] += n; c[profileID] <= 0 {
		delete(c, profileID)
	}
}

// Empty reports whether nothing is held, with every count at zero.
func (q *Queue) Empty() bool {
	return len(q.tasks) == 0 && len(q.gates) == 0 && len(q.delayed) == 0 && len(q.profiles) == 0
}
