package sim_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// history is what happened in a run, as the world around the service saw it.
type history struct {
	plan   *plan
	sent   map[decision.Position]*send
	copies map[decision.Position]int // how often dead letters were sent back, of those that had to be
	ends   []ending
	calls  []sandbox.Call // in the order of their arrival
	found  bool           // tasks that were missing exist in the end
	acts   map[decision.Task]int
	final  map[decision.Task]decision.State
	joins  int // members that were started
	burst  int
	errs   []error // with which members ended
}

// ending is a result or a dead letter.
type ending struct {
	of      decision.Position
	outcome string         // an outcome, or a reason
	task    decision.Task  // of a result
	state   decision.State // of a result
	why     string         // of a dead letter
}

// violation says what a run did wrong.
type violation string

func violationf(format string, args ...any) violation { return violation(fmt.Sprintf(format, args...)) }

// checks are all that must be true of a run once its good decisions are settled.
var checks = map[string]func(*history) []violation{
	"nothing is lost":              (*history).lost,
	"nobody is blamed":             (*history).blamed,
	"nothing is doubled":           (*history).doubled,
	"letters go back once":         (*history).redriven,
	"tasks are in order":           (*history).disordered,
	"identities are kept apart":    (*history).confused,
	"people are obeyed":            (*history).disobeyed,
	"the limit is kept":            (*history).tooFast,
	"members end without an error": (*history).failed,
}

// lost finds records that have neither a result nor a dead letter. Those that always
// fail, and those behind them on their task, may still be waiting.
func (h *history) lost() (all []violation) {
	ended := make(map[decision.Position]bool)
	for _, e := range h.ends {
		ended[e.of] = true
	}
	for at, s := range h.sent {
		if !ended[at] && s.mustEnd() {
			all = append(all, violationf("%v (%v on %v) is not settled", at, s.kind, s.task))
		}
	}
	return all
}

// waiting returns the beginnings of the partitions in which records are not settled.
func (h *history) waiting() map[decision.Position]bool {
	partitions := make(map[decision.Position]bool)
	ended := make(map[decision.Position]bool)
	for _, e := range h.ends {
		ended[e.of] = true
	}
	for at, s := range h.sent {
		if !ended[at] && !s.void {
			partitions[decision.Position{Topic: at.Topic, Partition: at.Partition}] = true
		}
	}
	return partitions
}

// carriedOut are the outcomes of decisions that are carried out.
var carriedOut = []string{"completed", "already_complete", "duplicate"}

// blamed finds outcomes that the record's kind does not allow.
func (h *history) blamed() (all []violation) {
	for _, e := range h.ends {
		s := h.sent[e.of]
		if s == nil {
			all = append(all, violationf("%v is settled and was never sent", e.of))
			continue
		}
		ok := false
		switch s.kind {
		case good:
			ok = slices.Contains(carriedOut, e.outcome)
		case poison:
			ok = e.outcome == "retries_exhausted"
		case missing:
			ok = e.outcome == "task_not_found" && !s.again || h.found && slices.Contains(carriedOut, e.outcome)
		case hostile:
			ok = e.outcome == "invalid_event"
		case broken:
			ok = e.outcome == "invalid_event" && strings.Contains(e.why, fmt.Sprintf("the batch at offsets %d to %d (%d) can't be read", e.of.Offset, e.of.Offset+int64(s.size)-1, s.size))
		case nothing:
		}
		if s.gone && e.outcome == "lost" {
			ok = true // it had to be read again
		}
		if e.outcome == "cancelled" {
			ok = h.mayBeCancelled(e.of, s)
		}
		if s.void {
			all = append(all, violationf("%v (on %v) ended as %s, but its transaction was aborted", e.of, s.task, e.outcome))
		} else if !ok {
			all = append(all, violationf("%v (%v on %v) ended as %s: %s", e.of, s.kind, s.task, e.outcome, e.why))
		}
	}
	return all
}

// doubled finds decisions that were settled or carried out more often than the faults
// of the plan explain.
func (h *history) doubled() (all []violation) {
	times := make(map[decision.Position]int)
	duplicates := make(map[decision.Task]int)
	decisions := make(map[decision.Task]int) // that may be carried out
	again := 0
	for _, e := range h.ends {
		if times[e.of]++; times[e.of] > 1 {
			again++
			if h.plan.calm {
				all = append(all, violationf("%v is settled %d times", e.of, times[e.of]))
			}
		}
		if e.outcome == "duplicate" {
			duplicates[e.task]++
		}
		if s := h.sent[e.of]; s != nil && s.kind == missing && e.outcome == "task_not_found" {
			decisions[s.task]--
		}
	}
	for _, s := range h.sent {
		if (s.kind == good || s.kind == missing) && !s.void {
			decisions[s.task]++
		}
	}
	for task, acts := range h.acts {
		most := decisions[task]
		if h.plan.calm {
			most -= duplicates[task]
		}
		if more := acts - most; more > 0 {
			again += more
			if h.plan.calm {
				all = append(all, violationf("%v was completed %d times, by %d decisions", task, acts, most))
			}
		}
	}
	// For each fault that can repeat decisions: what was in flight and what waited for
	// Kafka, and what was done until the fault was noticed, in each member.
	most := 0
	for _, f := range h.plan.faults {
		if f.kind.repeats() {
			most += 2 * h.joins * (5*h.plan.workers + int(2*h.plan.rate))
		}
	}
	if again > most {
		all = append(all, violationf("%d decisions were settled or completed again, more than %d", again, most))
	}
	return all
}

// disordered finds good tasks that were not put into the states of their decisions in
// the order in which they were sent. Decisions that were deleted with their topic, or cancelled,
// may have been carried out or not; those of aborted transactions were not.
func (h *history) disordered() (all []violation) {
	type wanted struct {
		must, may []decision.State // in order; may has all of must
		last      bool             // the last one is in both
	}
	sent := make(map[decision.Task]*wanted)
	for _, at := range slices.SortedFunc(maps.Keys(h.sent), func(a, b decision.Position) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), int(a.Offset-b.Offset))
	}) {
		s := h.sent[at]
		if s.kind != good {
			continue
		}
		if sent[s.task] == nil {
			sent[s.task] = new(wanted)
		}
		if of := sent[s.task]; !s.void {
			of.may, of.last = append(of.may, s.state), !s.gone && !s.ended
			if !s.gone && !s.ended {
				of.must = append(of.must, s.state)
			}
		}
	}
	called := make(map[decision.Task][]decision.State)
	for _, c := range h.calls {
		if c.Operation == passfort.OpComplete {
			t := decision.NewTask(c.ProfileID, c.TaskID)
			called[t] = append(called[t], c.State)
		}
	}
	for task, of := range sent {
		if n := len(of.must); of.last && h.final[task] != of.must[n-1] {
			all = append(all, violationf("%v ended in %s, but its last decision was %s", task, h.final[task], of.must[n-1]))
		}
		must, may, got := slices.Compact(of.must), slices.Compact(of.may), slices.Compact(called[task])
		if !isSubsequence(must, got) || (h.plan.calm || len(may) == 0) && !isSubsequence(got, may) {
			all = append(all, violationf("%v was put into %v, but its decisions were %v, of which %v had to be carried out", task, got, may, must))
		}
	}
	return all
}

// isSubsequence reports whether all of a comes in b, in order.
func isSubsequence[T comparable](a, b []T) bool {
	for _, e := range b {
		if len(a) > 0 && a[0] == e {
			a = a[1:]
		}
	}
	return len(a) == 0
}

// confused finds results that are about something else than their record, and
// duplicates of nothing.
func (h *history) confused() (all []violation) {
	for _, e := range h.ends {
		s := h.sent[e.of]
		if s == nil || e.task == (decision.Task{}) {
			continue
		}
		if e.task != s.task || e.state != s.state {
			all = append(all, violationf("the result of %v is about %v %s, but the decision is about %v %s", e.of, e.task, e.state, s.task, s.state))
		}
		if e.outcome == "duplicate" && !slices.ContainsFunc(slices.Collect(maps.Keys(h.sent)), func(at decision.Position) bool {
			return at.Topic == e.of.Topic && at.Partition == e.of.Partition && at.Offset < e.of.Offset && h.sent[at].same(s)
		}) {
			all = append(all, violationf("%v is a duplicate of nothing", e.of))
		}
	}
	return all
}

// tooFast finds times in which more calls came than the group may make. Whoever joins
// or gets partitions may begin with a burst.
func (h *history) tooFast() (all []violation) {
	for _, over := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		first, most := 0, int(h.plan.rate*over.Seconds())+h.burst*(1+h.joins)
		for i, c := range h.calls {
			for c.Time.Sub(h.calls[first].Time) >= over {
				first++
			}
			if n := i - first + 1; n > most {
				return append(all, violationf("%d calls in the %v before %v, more than %d", n, over, c.Time, most))
			}
		}
	}
	return nil
}

// redriven finds dead letters that a redrive did not send back once.
func (h *history) redriven() (all []violation) {
	for letter, times := range h.copies {
		if times != 1 {
			all = append(all, violationf("the dead letter %v was sent back %d times", letter, times))
		}
	}
	return all
}

func (h *history) failed() (all []violation) {
	for _, err := range h.errs {
		if !slices.ContainsFunc(h.plan.faults, func(f fault) bool { return f.kind >= kafkaProduce && f.kind != memberJoins && f.kind != memberLeaves }) {
			all = append(all, violationf("a member ended with: %v", err))
		}
	}
	return all
}

// check returns what a run did wrong, each with the name of its check.
func (h *history) check() (all []violation) {
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		for i, v := range checks[name](h) {
			if i == 5 {
				all = append(all, violationf("%s: and so on", name))
				break
			}
			all = append(all, violationf("%s: %s", name, v))
		}
	}
	return all
}
