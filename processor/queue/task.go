package queue

import (
	"slices"

	"verdict/internal/decision"
)

// task is the line of decisions on one task. At most one of them is active, and
// it keeps the task until Done. Behind it live goes before backfill, and within
// a lane decisions go in the order in which they arrived.
type task struct {
	slot
	key     decision.Task
	active  *Item
	waiting [len(decision.Lanes)][]*Item
}

// next returns the item that goes next; nil: none is left.
func (t *task) next() *Item {
	if t.active != nil {
		return t.active
	}
	for _, w := range t.waiting {
		if len(w) > 0 {
			return w[0]
		}
	}
	return nil
}

// take makes the first waiting item the active one. An item that is already
// active stays active.
func (t *task) take(i *Item) {
	if t.active == nil {
		t.active = i
		t.waiting[i.Lane] = popFirst(t.waiting[i.Lane])
	}
}

// join puts an item whose task is known into its task's line, by its arrival.
func (q *Queue) join(i *Item) {
	t := q.tasks[i.Task]
	if t == nil {
		t = &task{slot: slot{index: -1}, key: i.Task}
		q.tasks[t.key] = t
		q.profiles.add(t.key.ProfileID, 1)
	}
	i.task = t
	w := t.waiting[i.Lane]
	at := len(w)
	for at > 0 && w[at-1].seq > i.seq {
		at--
	}
	t.waiting[i.Lane] = slices.Insert(w, at, i)
	if t.active == nil {
		q.settleTask(t)
	}
}

// settleTask makes the task's next item ready, or forgets the task if none is
// left.
func (q *Queue) settleTask(t *task) {
	i := t.next()
	q.ready.arrange(&t.slot, i)
	if i == nil {
		delete(q.tasks, t.key)
		q.profiles.add(t.key.ProfileID, -1)
	}
}

func popFirst(w []*Item) []*Item {
	w[0] = nil
	return w[1:]
}
