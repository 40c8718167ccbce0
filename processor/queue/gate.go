package queue

import "verdict/internal/decision"

// gate keeps the order of a profile's decisions in one lane while the task of one of
// them is not known yet. A decision that names its task by alias or type can't join
// the line of its task before that task has been looked up, so it closes the gate:
// later decisions of the profile wait behind it until its task is known. Then it
// joins its task's line and the others follow.
//
// The active item of a gate is the one that is being looked up. Each lane has gates
// of its own, so that live never waits behind backfill. Profiles whose decisions all
// name their tasks by ID have none.
type gate struct {
	slot
	key     gateKey
	active  *Item
	waiting []*Item
}

type gateKey struct {
	profileID string
	lane      decision.Lane
}

// next returns the item that goes next; nil: none is left.
func (g *gate) next() *Item {
	switch {
	case g.active != nil:
		return g.active
	case len(g.waiting) > 0:
		return g.waiting[0]
	}
	return nil
}

func (g *gate) take(i *Item) {
	if g.active == nil {
		g.active = i
		g.waiting = popFirst(g.waiting)
	}
}

// waitBehindGate puts an item behind its profile's gate, which an item whose
// task is unknown closes. It reports whether there is a gate.
func (q *Queue) waitBehindGate(i *Item) bool {
	if len(q.gates) == 0 && i.Resolved() {
		return false
	}
	key := gateKey{i.Task.ProfileID, i.Lane}
	g := q.gates[key]
	if g == nil {
		if i.Resolved() {
			return false
		}
		g = &gate{slot: slot{index: -1}, key: key}
		q.gates[key] = g
		q.profiles.add(key.profileID, 1)
	}
	i.gate = g
	g.waiting = append(g.waiting, i)
	if g.active == nil {
		q.settleGate(g)
	}
	return true
}

// settleGate lets the first items go on as long as their tasks are known, makes the
// next one ready for its look-up, and opens the gate if none is left.
func (q *Queue) settleGate(g *gate) {
	if g.active == nil {
		for len(g.waiting) > 0 && g.waiting[0].Resolved() {
			i := g.waiting[0]
			g.waiting = popFirst(g.waiting)
			i.gate = nil
			q.join(i)
		}
	}
	i := g.next()
	q.ready.arrange(&g.slot, i)
	if i == nil {
		delete(q.gates, g.key)
		q.profiles.add(g.key.profileID, -1)
	}
}

// Resolve sets the tasks of the items that wait behind the same gate as i to those
// that find returns. It removes and returns the items for which find knows none. If
// i is behind no gate, it does nothing.
func (q *Queue) Resolve(i *Item, find func(*Item) (taskID string, ok bool)) (without []*Item) {
	if i.gate == nil {
		return nil
	}
	var kept []*Item
	for _, w := range i.gate.waiting {
		if !w.Resolved() {
			id, ok := find(w)
			if !ok {
				w.gate = nil
				without = append(without, w)
				continue
			}
			w.Task.TaskID = id
		}
		kept = append(kept, w)
	}
	i.gate.waiting = kept
	return without
}

// Move moves an active item from a gate, or from a task that is gone, to the task
// that it is about, where it waits in the order of arrival.
func (q *Queue) Move(i *Item, taskID string) {
	t, g := i.task, i.gate
	i.task, i.gate = nil, nil
	i.Task.TaskID = taskID
	switch {
	case g != nil:
		g.active = nil
		q.join(i)
		q.settleGate(g)
	default:
		t.active = nil
		q.join(i)
		q.settleTask(t)
	}
}
