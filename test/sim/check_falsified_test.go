package sim_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func position(offset int64) decision.Position { return decision.Position{Topic: "t", Offset: offset} }

// endOf returns the end of a record.
func (h *history) endOf(offset int64) *ending {
	return &h.ends[slices.IndexFunc(h.ends, func(e ending) bool { return e.of == position(offset) })]
}

// clean returns the history of a run in which all went well: two decisions on one task,
// a repeat of the second, one on a task that fails and one on a task that does not exist,
// which is sent back once the task exists; one of an aborted transaction, a batch that can't
// be read and, on another task, one that went with its topic and one after that.
func clean() *history {
	began := time.Unix(0, 0)
	at := position
	again := func(offset int64) decision.Position { return decision.Position{Topic: "t made again", Offset: offset} }
	call := func(second int, t decision.Task, s decision.State) sandbox.Call {
		return sandbox.Call{Time: began.Add(time.Duration(second) * time.Second), Operation: passfort.OpComplete, ProfileID: t.ProfileID, TaskID: t.TaskID, State: s}
	}
	const pass, fail = decision.CompletedPass, decision.CompletedFail
	return &history{
		plan: &plan{calm: true, rate: 1, workers: 1}, joins: 1, burst: 1,
		sent: map[decision.Position]*send{
			at(0):    {task: task(0), state: pass, id: "a"},
			at(1):    {task: task(0), state: fail, id: "b"},
			at(2):    {task: task(0), state: fail, id: "b"},
			at(3):    {task: task(1), state: pass, kind: poison},
			at(4):    {task: task(2), state: pass, kind: missing},
			at(5):    {task: task(0), kind: hostile},
			at(6):    {task: task(3), state: pass, void: true},
			at(7):    {kind: broken, size: 3},
			at(10):   {task: task(2), state: pass, kind: missing, again: true},
			at(11):   {task: task(4), state: pass, gone: true},
			again(0): {task: task(4), state: fail},
		},
		copies: map[decision.Position]int{{Topic: "dead"}: 1}, found: true,
		ends: []ending{
			{of: at(0), outcome: "completed", task: task(0), state: pass}, {of: at(1), outcome: "completed", task: task(0), state: fail},
			{of: at(2), outcome: "duplicate", task: task(0), state: fail},
			{of: at(4), outcome: "task_not_found"}, {of: at(5), outcome: "invalid_event"},
			{of: at(7), outcome: "invalid_event", why: "value: the batch at offsets 7 to 9 (3) can't be read: its checksum is wrong"},
			{of: at(10), outcome: "completed", task: task(2), state: pass},
			{of: again(0), outcome: "completed", task: task(4), state: fail},
		},
		calls: []sandbox.Call{call(0, task(0), pass), call(1, task(0), fail), call(2, task(1), pass), call(3, task(2), pass), call(4, task(2), pass), call(5, task(4), fail)},
		acts:  map[decision.Task]int{task(0): 2, task(2): 1, task(4): 1},
		final: map[decision.Task]decision.State{task(0): fail, task(1): decision.Incomplete, task(2): pass, task(4): fail},
	}
}

// TestChecksFindWhatIsWrong falsifies the history in each way that a check is for.
func TestChecksFindWhatIsWrong(t *testing.T) {
	if v := clean().check(); len(v) > 0 {
		t.Fatalf("violations of a clean history: %q", v)
	}
	for name, c := range map[string]struct {
		falsify func(h *history)
		finds   string // the check
	}{
		"a lost decision":           {func(h *history) { h.ends = h.ends[1:] }, "nothing is lost"},
		"a lost one of no task":     {func(h *history) { h.ends = append(h.ends[:3:3], h.ends[4]) }, "nothing is lost"},
		"a good one dead-lettered":  {func(h *history) { h.ends[0] = ending{of: h.ends[0].of, outcome: "retries_exhausted"} }, "nobody is blamed"},
		"a poisoned one not found":  {func(h *history) { h.ends[3].of.Offset = 3 }, "nobody is blamed"},
		"a hostile one carried out": {func(h *history) { h.ends[4].outcome = "completed" }, "nobody is blamed"},
		"a record out of nowhere":   {func(h *history) { h.ends[0].of.Offset = 9 }, "nobody is blamed"},
		"settled twice":             {func(h *history) { h.ends = append(h.ends, h.ends[0]) }, "nothing is doubled"},
		"completed once more":       {func(h *history) { h.acts[task(0)] = 3 }, "nothing is doubled"},
		"doubled beyond the bound": {func(h *history) {
			h.plan.calm, h.plan.faults = false, []fault{{kind: memberCrashes}}
			h.acts[task(0)] = 100
		}, "nothing is doubled"},
		"the wrong end":          {func(h *history) { h.final[task(0)] = decision.CompletedPass }, "tasks are in order"},
		"the wrong order":        {func(h *history) { h.calls[0].State, h.calls[1].State = h.calls[1].State, h.calls[0].State }, "tasks are in order"},
		"a decision left out":    {func(h *history) { h.calls = h.calls[1:] }, "tasks are in order"},
		"another task's result":  {func(h *history) { h.ends[0].task = task(3) }, "identities are kept apart"},
		"a result's other state": {func(h *history) { h.ends[0].state = decision.CompletedFail }, "identities are kept apart"},
		"a duplicate of nothing": {func(h *history) { h.sent[h.ends[2].of].id = "c" }, "identities are kept apart"},
		"calls that come at once": {func(h *history) {
			h.calls[3].Time, h.calls[2].Time, h.calls[1].Time = h.calls[0].Time, h.calls[0].Time, h.calls[0].Time
		}, "the limit is kept"},
		"an aborted one settled": {func(h *history) {
			h.ends = append(h.ends, ending{of: position(6), outcome: "completed", task: task(3), state: decision.CompletedPass})
		}, "nobody is blamed"},
		"an aborted one carried out": {func(h *history) { h.acts[task(3)] = 1 }, "nothing is doubled"},
		"an aborted one called": {func(h *history) {
			h.plan.calm = false
			h.calls = append(h.calls, sandbox.Call{Operation: passfort.OpComplete, ProfileID: task(3).ProfileID, TaskID: task(3).TaskID})
		}, "tasks are in order"},
		"a duplicate of an aborted one":    {func(h *history) { h.sent[position(1)].void = true }, "identities are kept apart"},
		"a batch without its offsets":      {func(h *history) { h.endOf(7).why = "value: it can't be read" }, "nobody is blamed"},
		"a batch's second letter":          {func(h *history) { h.ends = append(h.ends, ending{of: position(8), outcome: "invalid_event"}) }, "nobody is blamed"},
		"a batch without a letter":         {func(h *history) { h.endOf(7).of = position(0) }, "nothing is lost"},
		"a broken batch's record done":     {func(h *history) { h.endOf(7).outcome = "completed" }, "nobody is blamed"},
		"one of a deleted topic blamed":    {func(h *history) { h.ends = append(h.ends, ending{of: position(11), outcome: "retries_exhausted"}) }, "nobody is blamed"},
		"one of a new topic skipped":       {func(h *history) { h.sent[decision.Position{Topic: "t made again", Offset: 1}] = &send{task: task(0)} }, "nothing is lost"},
		"one of a new topic settled twice": {func(h *history) { h.ends = append(h.ends, h.ends[len(h.ends)-1]) }, "nothing is doubled"},
		"an old topic's after a new one's": {func(h *history) {
			late := h.calls[5]
			late.State = decision.CompletedPass
			h.calls = append(h.calls, late)
		}, "tasks are in order"},
		"an old topic's state in the end":   {func(h *history) { h.final[task(4)] = decision.CompletedPass }, "tasks are in order"},
		"a letter that stays":               {func(h *history) { h.copies[decision.Position{Topic: "dead"}] = 0 }, "letters go back once"},
		"a letter that goes back twice":     {func(h *history) { h.copies[decision.Position{Topic: "dead"}] = 2 }, "letters go back once"},
		"a redriven one not found":          {func(h *history) { *h.endOf(10) = ending{of: position(10), outcome: "task_not_found"} }, "nobody is blamed"},
		"a redriven one carried out twice":  {func(h *history) { h.acts[task(2)] = 2 }, "nothing is doubled"},
		"a redriven one lost":               {func(h *history) { h.endOf(10).of = position(0) }, "nothing is lost"},
		"one carried out that is not there": {func(h *history) { h.found = false }, "nobody is blamed"},
		"a member's error":                  {func(h *history) { h.errs = append(h.errs, errors.New("broken")) }, "members end without an error"},
	} {
		t.Run(name, func(t *testing.T) {
			h := clean()
			c.falsify(h)
			for _, v := range h.check() {
				if strings.HasPrefix(string(v), c.finds+": ") {
					return
				}
			}
			t.Errorf("not found: %q", h.check())
		})
	}
}

// TestPlanComesFromItsSeed draws plans twice, and wants all kinds of faults in few of
// them.
func TestPlanComesFromItsSeed(t *testing.T) {
	var seen [faultKinds]bool
	calm := 0
	for seed := range uint64(200) {
		p, again := draw(seed), draw(seed)
		if p.String() != again.String() || len(p.sends) != len(again.sends) || p.sends[0] != again.sends[0] {
			t.Fatalf("seed %d has two plans:\n%s%s", seed, &p, &again)
		}
		for _, f := range p.faults {
			seen[f.kind] = true
		}
		if p.calm {
			calm++
		}
	}
	for k, ok := range seen {
		if !ok {
			t.Errorf("no plan of 200 has the fault %s", faultKind(k))
		}
	}
	if calm < 50 || calm > 150 {
		t.Errorf("%d of 200 plans are calm", calm)
	}
}
