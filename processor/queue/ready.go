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
	index int // in the lane's ready heap; -1: not ready
}

// readyLanes is the slots of each lane whose next item is ready.
type readyLanes [len(decision.Lanes)]readyHeap

// arrange makes head the ready item of a slot; nil takes the slot out.
func (r *readyLanes) arrange(s *slot, head *Item) {
	if s.index >= 0 && (head == nil || s.lane != head.Lane) {
		heap.Remove(&r[s.lane], s.index)
	}
	if head == nil {
		return
	}
	s.head = head
	if s.index >= 0 {
		r[s.lane][s.index].seq = head.seq
		heap.Fix(&r[s.lane], s.index)
		return
	}
	s.lane = head.Lane
	heap.Push(&r[s.lane], readySlot{head.seq, s})
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
