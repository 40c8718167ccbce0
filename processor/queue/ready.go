package queue

import (
	"container/heap"

	"verdict/internal/decision"
)

// slot is the place of a task or a gate in the ready heap of its next item's
// lane.
type slot struct {
	head  *Item // that goes next; set while the slot is ready
	lane  decision.Lane
	tried bool // head was taken before
	index int  // in its ready heap; -1: not ready
}

// readyLanes is the slots of each lane whose next item is ready: those of items that are
// new, and those of items that were taken before.
type readyLanes [len(decision.Lanes)]readyLane

type readyLane struct {
	fresh, tried readyHeap
	turn         int // new items taken since the last that was not, while both were ready
}

// triedEvery is how many new items are taken for each that was taken before, while
// there are both: items that fail again and again leave most calls to the others.
const triedEvery = 2

// heap returns the ready heap of new items, or of those that were taken before.
func (l *readyLane) heap(tried bool) *readyHeap {
	if tried {
		return &l.tried
	}
	return &l.fresh
}

// next returns the heap to take from; one of them must have an item.
func (l *readyLane) next() *readyHeap {
	switch {
	case len(l.tried) == 0:
		return &l.fresh
	case len(l.fresh) == 0:
		return &l.tried
	case l.turn >= triedEvery:
		l.turn = 0
		return &l.tried
	}
	l.turn++
	return &l.fresh
}

// all calls f with each ready slot.
func (l *readyLane) all(f func(h *readyHeap, at int)) {
	for _, h := range [...]*readyHeap{&l.fresh, &l.tried} {
		for at := range *h {
			f(h, at)
		}
	}
}

// arrange makes head the ready item of a slot; nil takes the slot out.
func (r *readyLanes) arrange(s *slot, head *Item) {
	if s.index >= 0 && (head == nil || s.lane != head.Lane || s.tried != head.isActive()) {
		heap.Remove(r[s.lane].heap(s.tried), s.index)
	}
	if head == nil {
		return
	}
	s.head = head
	if h := r[s.lane].heap(s.tried); s.index >= 0 {
		(*h)[s.index].seq = head.seq
		heap.Fix(h, s.index)
		return
	}
	s.lane, s.tried = head.Lane, head.isActive()
	heap.Push(r[s.lane].heap(s.tried), readySlot{head.seq, s})
}

// readyHeap is slots by the arrival of their heads, oldest first. The arrival is
// kept beside the slot, so that sifting touches only the slots that it moves.
type readyHeap []readySlot

type readySlot struct {
	seq  uint64
	slot *slot
}

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(a, b int) bool { return h[a].seq < h[b].seq }
func (h readyHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].slot.index, h[b].slot.index = a, b
}
func (h *readyHeap) Push(x any) {
	r := x.(readySlot)
	r.slot.index = len(*h)
	*h = append(*h, r)
}
func (h *readyHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last].slot
	(*h)[last] = readySlot{}
	*h = (*h)[:last]
	s.index = -1
	return s
}

// delayHeap is items by when they are due.
type delayHeap []*Item

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(a, b int) bool { return h[a].due.Before(h[b].due) }
func (h delayHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].delayed, h[b].delayed = a, b
}
func (h *delayHeap) Push(x any) {
	i := x.(*Item)
	i.delayed = len(*h)
	*h = append(*h, i)
}
func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	i := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	i.delayed = -1
	return i
}
