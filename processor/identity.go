package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/recent"
)

// settledAsDuplicate returns how to settle a decision that was settled with a
// result before; nil: it was not, or it must look at its task first.
func (d dispatcher) settledAsDuplicate(m *machines, j *job) func(context.Context) {
	before, ok := j.hold.recent.Find(recent.PrintOf(&j.dec, j.identity, j.Task))
	j.repeat = before.Overtaken
	if !ok || before.Overtaken {
		return nil
	}
	taskID := before.TaskID
	if taskID == "" {
		taskID = j.Task.TaskID
	}
	if !j.Resolved() && (taskID == "" || m.queue.Busy(decision.Task{ProfileID: j.Task.ProfileID, TaskID: taskID})) {
		// Behind its profile's gate, it has not lined up behind the decisions that
		// came before it on its task. One of them may overtake it.
		return nil
	}
	return func(ctx context.Context) {
		d.p.settler.result(ctx, j, success{outcome: decision.Duplicate, taskID: taskID})
	}
}

// remember notes that a decision was settled. It reports whether its ID was
// another decision's before. Partitions have memories of their own, but one task's
// decisions may come in several.
func (m *machines) remember(j *job, e *ending) (reused bool) {
	if j.identity == (decision.Identity{}) {
		return false
	}
	on := j.Task
	if e.taskID != "" {
		on.TaskID = e.taskID
	}
	this := recent.PrintOf(&j.dec, j.identity, on)
	hasID, same := false, false
	for _, h := range m.claims {
		h.recent.Overtake(this)
		if j.dec.OwnID && h.recent.HasID(this) {
			hasID = true
			_, found := h.recent.Find(this)
			same = same || found
		}
	}
	if j.dec.OwnID && e.reason == "" {
		taskID := ""
		if j.keyed() {
			taskID = e.taskID
		}
		j.hold.recent.Add(this, taskID)
	}
	return hasID && !same
}

// reportReuse counts a decision whose ID was another decision's before.
func (p *Processor) reportReuse(j *job) {
	p.opts.Metrics.IDReuse.Inc()
	var unlogged int
	var ok bool
	p.do(func(m *machines, now time.Time) { unlogged, ok = m.idReuse.take(now) })
	if ok {
		p.log.Warn("the ID of a decision was another decision's before, with another task, state or source; give each decision an ID of its own",
			"decision_id", j.dec.ID, "decision_key", j.identity.String(), "origin", j.origin(), "unlogged", unlogged)
	}
}

// sampler lets one log line a minute through.
type sampler struct {
	next     time.Time
	unlogged int // since the last line
}

// take reports whether to log now, and how often it said no since it last did.
func (s *sampler) take(now time.Time) (unlogged int, ok bool) {
	if now.Before(s.next) {
		s.unlogged++
		return 0, false
	}
	unlogged, s.unlogged, s.next = s.unlogged, 0, now.Add(time.Minute)
	return unlogged, true
}
