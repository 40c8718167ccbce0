package integration

import (
	"verdict/internal/decision"
)

// check checks what must hold in the end.
func (s *soak) check() {
	s.t.Helper()
	// The first outcome of each decision, in the order of the results' partitions:
	// those of a task are in one, since their key is the profile.
	seen := make(map[decision.Origin]bool)
	last := make(map[decision.Task]decision.Origin)
	again, outOfOrder := 0, 0
	names := make(map[string]int)
	for _, o := range s.published() {
		d, ok := s.sent[o.at]
		switch before := last[d.task]; {
		case !ok:
			s.t.Errorf("%v is settled (%s), and was never sent", o.at, o.name)
		case seen[o.at]:
			again++
		default:
			names[o.name]++
			if before.Offset > o.at.Offset {
				outOfOrder++
				s.t.Errorf("task %v: the decision at %v was settled before the one at %v", d.task, before, o.at)
			}
			last[d.task] = o.at
		}
		seen[o.at] = true
	}
	lost := 0
	final := make(map[decision.Task]decision.Origin)
	for at, d := range s.sent {
		if !seen[at] {
			lost++
			s.t.Errorf("%v was never settled", at)
		}
		if f, ok := final[d.task]; !ok || f.Offset < at.Offset {
			final[d.task] = at
		}
	}
	for task, at := range final {
		if got, want := s.api.State(task.ProfileID, task.TaskID), s.sent[at].state; got != want {
			s.t.Errorf("task %v is %s in the end, want %s", task, got, want)
		}
	}
	stats := s.api.Stats()
	most := s.lossy * (5*workers + 60)
	s.t.Logf("%d decisions: %v; %d lost, %d out of order, %d settled again of %d at the most by %d faults that may cause it; %d completions at the API",
		len(s.sent), names, lost, outOfOrder, again, most, s.lossy, stats.Completions)
	if again > most {
		s.t.Errorf("%d decisions were settled again, want at most %d", again, most)
	}
	for name, n := range names {
		if name != "completed" && name != "already_complete" {
			s.t.Errorf("%d decisions ended as %s", n, name)
		}
	}
}

// sizes are a member's goroutines and the memory that its heap uses, in MiB.
type size struct{ goroutines, heap float64 }

func (s *soak) sizes() (all []size) {
	for _, m := range s.members {
		all = append(all, size{m.metric("go_goroutines"), m.metric("go_memstats_heap_inuse_bytes") / (1 << 20)})
	}
	return all
}

// checkSizes compares the member that lived through all with what it was at its
// start.
func (s *soak) checkSizes(early []size) {
	s.t.Helper()
	const survivor = 2
	var now size
	grown := func() bool {
		now = s.sizes()[survivor]
		return now.goroutines > early[survivor].goroutines+60 || now.heap > early[survivor].heap+64
	}
	await(s.t, "the member that lived through all is as small as at its start", func() bool { return !grown() })
	s.t.Logf("the member that lived through all had %v goroutines and a heap of %.1f MiB, and has %v and %.1f MiB",
		early[survivor].goroutines, early[survivor].heap, now.goroutines, now.heap)
}
