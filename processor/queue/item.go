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

	seq     uint64 // order of arrival
	task    *task  // that it waits for or is active on; nil: none
	gate    *gate  // that it waits behind; nil: none
	due     time.Time
	delayed int // index in Queue.delayed; -1: not there
}

// Resolved reports whether the item's task is known by its ID.
func (i *Item) Resolved() bool { return i.Task.TaskID != "" }

// Queued reports whether the item is in the queue, waiting or active.
func (i *Item) Queued() bool { return i.task != nil || i.gate != nil }
