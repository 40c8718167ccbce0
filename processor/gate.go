package processor

import "verdict/internal/decision"

// A decision that names its task by alias or type can't join the queue of its
// task before that was looked up. So that it keeps its place among the others,
// it closes a gate: from then on the decisions of its profile wait behind it, in
// order, until its task is known. Then it joins its task's queue, behind those
// that came before it, and the others go on to theirs.
//
// A gate is a task of the queue like the real ones, with the lane in place of
// the task's ID: the one that is looked up is begun, tried again, drained as any
// decision is. Each lane has its own, so that live never waits behind backfill.
// Profiles without such decisions have none.

// keyed says whether the decision names its task by alias or type.
func (j *job) keyed() bool { return j.dec.Key != decision.Key{} }

// unresolved says whether the decision's task is still to be looked up.
func (j *job) unresolved() bool { return j.dec.Task.TaskID == "" && j.keyed() }

// wait puts a job behind its profile's gate. It is false where there is none and
// the job needs none.
func (q *queue) wait(j *job) bool {
	key := decision.Task{ProfileID: j.dec.Task.ProfileID, TaskID: j.lane.String()} // no ID looks like that
	g := q.tasks[key]
	if g == nil {
		if !j.keyed() {
			return false
		}
		g = &task{key: key, gate: true, ready: -1}
		q.know(g)
	}
	j.task = g
	g.waiting[j.lane] = append(g.waiting[j.lane], j)
	if g.begun == nil {
		q.settleReady(g)
	}
	return true
}

// release lets those go on that stand first behind a gate and whose tasks are
// known.
func (q *queue) release(g *task) {
	for lane, w := range g.waiting {
		for len(w) > 0 && !w[0].unresolved() {
			j := w[0]
			w[0] = nil
			w = w[1:]
			q.join(j)
		}
		g.waiting[lane] = w
	}
}

// resolve names the task of each decision that waits behind a gate, by find. It
// takes out, and returns, those that find knows no task for.
func (q *queue) resolve(g *task, find func(*job) bool) (without []*job) {
	for lane, w := range g.waiting {
		var kept []*job
		for _, j := range w {
			if j.unresolved() && !find(j) {
				j.task = nil
				without = append(without, j)
			} else {
				kept = append(kept, j)
			}
		}
		g.waiting[lane] = kept
	}
	return without
}

// move takes a decision that is begun, behind a gate or on a task that is gone,
// to the task that it is about, where it waits for its turn.
func (q *queue) move(j *job, taskID string) {
	from := j.task
	from.begun = nil
	j.dec.Task.TaskID = taskID
	q.join(j)
	q.settleReady(from)
}
