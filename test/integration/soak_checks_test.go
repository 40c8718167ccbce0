package integration

import (
	"verdict/internal/decision"
)

// check checks what must hold after all faults: each decision is settled, in the order of
// its task, with few repeats, and each task is in the state of its last decision.
func (s *soak) check() {
	s.t.Helper()
	settled, repeats := s.checkOrder()
	last := make(map[decision.Task]decision.Position) // decision on each task
	for at, d := range s.sent {
		if !settled[at] {
			s.t.Errorf("%v was never settled", at)
		}
		if l, ok := last[d.task]; !ok || l.Offset < at.Offset {
			last[d.task] = at
		}
	}
	for task, at := range last {
		if got, want := s.api.State(task.ProfileID, task.TaskID), s.sent[at].state; got != want {
			s.t.Errorf("task %v is %s in the end, want %s", task, got, want)
		}
	}
	bound := s.lossy * repeatBound
	s.t.Logf("%d decisions, %d of them settled again, at most %d allowed by %d faults; %d completions at the API",
		len(s.sent), repeats, bound, s.lossy, s.api.Stats().Completions)
	if repeats > bound {
		s.t.Errorf("%d decisions were settled again, want at most %d", repeats, bound)
	}
}

// checkOrder checks the first outcome of each decision, and returns which decisions are
// settled and how many outcomes are repeats. Results are read partition by partition, and
// all results of a task are in one partition, because their key is the profile.
func (s *soak) checkOrder() (settled map[decision.Position]bool, repeats int) {
	s.t.Helper()
	settled = make(map[decision.Position]bool)
	last := make(map[decision.Task]decision.Position)
	names := make(map[string]int)
	for _, o := range s.published() {
		d, ok := s.sent[o.at]
		switch before := last[d.task]; {
		case !ok:
			s.t.Errorf("%v is settled (%s), but was never sent", o.at, o.name)
		case settled[o.at]:
			repeats++
		default:
			names[o.name]++
			if before.Offset > o.at.Offset {
				s.t.Errorf("task %v: the decision at %v was settled before the one at %v", d.task, before, o.at)
			}
			last[d.task] = o.at
		}
		settled[o.at] = true
	}
	s.t.Logf("outcomes: %v", names)
	for name, n := range names {
		if name != "completed" && name != "already_complete" {
			s.t.Errorf("%d decisions ended as %s", n, name)
		}
	}
	return settled, repeats
}

// size is the number of goroutines of a member and the memory in use by its heap, in MiB.
type size struct{ goroutines, heap float64 }

// sizes returns the size of each member.
func (s *soak) sizes() (all []size) {
	for _, m := range s.members {
		all = append(all, size{m.metric("go_goroutines"), m.metric("go_memstats_heap_inuse_bytes") / (1 << 20)})
	}
	return all
}

// checkSizes checks that the member that ran all the time has not grown since the start.
func (s *soak) checkSizes(atStart []size) {
	s.t.Helper()
	const survivor = 2
	var now size
	before := atStart[survivor]
	await(s.t, "the surviving member is as small as at its start", func() bool {
		now = s.sizes()[survivor]
		return now.goroutines <= before.goroutines+60 && now.heap <= before.heap+64
	})
	s.t.Logf("the surviving member had %v goroutines and a heap of %.1f MiB, and has %v and %.1f MiB",
		before.goroutines, before.heap, now.goroutines, now.heap)
}
