package queue

import (
	"time"

	"verdict/internal/decision"
)

// Item is what the queue knows about a decision. A job embeds its Item:
//
//	                    ┌── Delay ◄─┐
//	                    ▼           │
//	Add ─► waiting ─► ready ─► Take: active ─► Done
//	       (behind its task or its profile's gate)
//
// Owner, Lane and Task are set before Add. From then on only the queue changes
// Task.
type Item struct {
	Owner any // the job that embeds the item; the queue only returns it
	Lane  decision.Lane
	Task  decision.Task // has no TaskID until the task was looked up; see gate
	// Arrival is the item's place by arrival, see Queue.Arrive. An item that was taken out and
	// is added once more keeps its place by it. 0: Add sets it.
	Arrival uint64

	seq     uint64 // Arrival, while it is in the queue
	task    *task  // that it waits for or is active on; nil: none
	gate    *gate  // that it waits behind; nil: none
	due     time.Time
	delayed int // index in Queue.delayed; -1: not there
}

// Resolved reports whether the item's task is known by its ID.
func (i *Item) Resolved() bool { return i.Task.TaskID != "" }

// Queued reports whether the item is in the queue, waiting or active.
func (i *Item) Queued() bool { return i.task != nil || i.gate != nil }

// Turn is how far an item is from its turn.
type Turn uint8

// The turns.
const (
	Outside    Turn = iota // it is not in the queue
	BehindTask             // another item of its task goes first
	BehindGate             // the task of another item of its profile has to be known first
	Delayed                // it waits until it is due
	Ready                  // it can be taken
	Taken                  // it is in the caller's hands
)

// Turn returns how far the item is from its turn and, if it is Delayed, when it is due.
func (i *Item) Turn() (turn Turn, due time.Time) {
	switch {
	case !i.Queued():
		return Outside, time.Time{}
	case i.delayed >= 0:
		return Delayed, i.due
	}
	if s := i.place(); s.index >= 0 && s.head == i {
		return Ready, time.Time{}
	}
	switch {
	case i.gate != nil && i.gate.active == i, i.task != nil && i.task.active == i:
		return Taken, time.Time{}
	case i.gate != nil:
		return BehindGate, time.Time{}
	}
	return BehindTask, time.Time{}
}
