package processor

import (
	"context"
	"time"

	"verdict/internal/decision"
	"verdict/processor/health"
	"verdict/processor/queue"
)

// recheckHeld is how often a decision that is held in memory comes up, to see whether it has
// expired.
const recheckHeld = time.Minute

// groupOf returns what the guard judges a decision with: the batch whose run wrote its record
// or, where the ledger knows of none, the batch that it names.
func (m *machines) groupOf(j *job) health.Group {
	if batch, known := m.orders.BatchOf[j.run]; known {
		return health.Group{Lane: j.Lane, Batch: batch}
	}
	return health.Group{Lane: j.Lane, Batch: j.dec.BatchID, Named: j.dec.BatchID != ""}
}

// mayBlame asks the guard whether a decision may be dead-lettered for what the API
// answered.
func (p *Processor) mayBlame(j *job, v *verdict) (may bool) {
	of, since := j.group, j.failedAt
	if j.refused != "" {
		since = j.refusedAt
	}
	p.do(func(m *machines, now time.Time) {
		var holds bool
		if may, holds = m.guard.Blames(of, j.Task, since, now); !holds {
			return
		}
		m.showHeld(of.Lane)
		m.say(func() {
			p.log.Error("the API refuses every decision; holding them except for a probe now and then (the result of processor.guard; "+
				"check what was sent, and what the API key may do)",
				"pause", string(decision.LanePausedRefused), "lane", of.Lane.String(), "batch_id", of.Batch, "dead_letters", p.opts.Guard, "err", v.err)
		})
	})
	return may
}

// endHold ends the hold on the decision's group, if there is one: the API did what the
// decision asks for.
func (a *attempt) endHold(m *machines, now time.Time) {
	of := a.group
	if m.endHold(of, now) {
		m.say(func() {
			a.p.log.Info("the API carries out decisions again", "pause", string(decision.LanePausedRefused), "lane", of.Lane.String(), "batch_id", of.Batch)
		})
	}
}

// endHold ends the hold on a group. It reports whether there was one.
func (m *machines) endHold(of health.Group, now time.Time) (was bool) {
	if !m.guard.Completes(of, now) {
		return false
	}
	m.showHeld(of.Lane)
	for _, one := range m.heldOf(of) {
		m.queue.Hasten(&one.Item, now)
	}
	m.wants.dispatch = true
	return true
}

// showHeld shows in the metric whether anything of a lane is held.
func (m *machines) showHeld(lane decision.Lane) {
	m.pauses.setLane(lane, decision.LanePausedRefused, m.guard.AnyHeld(lane))
}

// heldOf returns the decisions that wait because their group is held.
func (m *machines) heldOf(of health.Group) (held []*job) {
	m.queue.EachTried(func(i *queue.Item) {
		if j := jobOf(i); j.held && j.group == of {
			held = append(held, j)
		}
	})
	return held
}

// holdBack returns a chosen decision to where it waits if people hold it, or if its group
// is held and it is not the group's probe.
func (m *machines) holdBack(j *job, now time.Time) bool {
	if m.mustPark(j) {
		m.parkTaken(j)
		return true
	}
	if !m.holds(j.run, j.Task) && (j.probe || !m.guard.Held(j.group)) {
		return false
	}
	j.held = true
	m.giveBack(j, now.Add(recheckHeld))
	return true
}

// probeHeld lets one decision go of each held group whose turn it is. It returns when
// to do so again; zero: nothing is held.
func (m *machines) probeHeld(now time.Time) time.Time {
	due, next := m.guard.Due(now)
	for _, of := range due {
		held := m.heldOf(of)
		profiles := make([]string, len(held))
		for i, j := range held {
			profiles[i] = j.Task.ProfileID
		}
		profile, ok := m.guard.Probe(of, profiles, now)
		if !ok {
			continue
		}
		for _, j := range held {
			if j.Task.ProfileID == profile {
				j.probe = true
				m.queue.Hasten(&j.Item, now)
				break
			}
		}
	}
	return next
}

// blame dead-letters a decision for what the API answered, unless the guard holds its
// group. done is false if the decision is to be tried again.
func (a *attempt) blame(ctx context.Context, v *verdict) (done bool) {
	p := a.p
	r := v.refusal
	if v.action != actBlame {
		r = refusal{reason: decision.RetriesExhausted, status: v.status, err: v.err}
		if v.cause == decision.RetryUnconfirmed {
			r.reason = decision.Unconfirmed
		}
	}
	if v.cause != decision.RetryPanic && !p.mayBlame(a.job, v) {
		return false
	}
	if r.reason == decision.TaskNotFound && !a.keyed() {
		if text := a.explainNotFound(a.context()); text != "" {
			r.err = note(text)
		}
		if a.hold.ctx.Err() != nil {
			return false
		}
	}
	p.settler.deadLetter(ctx, a.job, r)
	return true
}
