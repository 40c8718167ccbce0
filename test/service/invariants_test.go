package service_test

import (
	"maps"
	"slices"
	"time"

	"verdict/internal/decision"
)

// checkSettledOnce checks that every decision has exactly one outcome, and that
// nothing else has one. It returns the outcomes by origin.
func (w *world) checkSettledOnce() map[decision.Position]string {
	w.t.Helper()
	outcomes := make(map[decision.Position]string)
	note := func(at decision.Position, outcome string) {
		if before, twice := outcomes[at]; twice {
			w.t.Errorf("%v is settled twice: %s and %s", at, before, outcome)
		}
		if _, ok := w.submitted[at]; !ok {
			w.t.Errorf("%v is settled (%s), but it was never sent", at, outcome)
		}
		outcomes[at] = outcome
	}
	for _, r := range w.results() {
		note(r.Origin, string(r.Outcome))
	}
	for _, d := range w.deadLetters() {
		note(d.Original.Origin(), string(d.Reason))
	}
	for at := range w.submitted {
		if outcomes[at] == "" {
			w.t.Errorf("%v was never settled", at)
		}
	}
	return outcomes
}

// settledAgain checks that every decision is settled, and returns how many results
// and dead letters there are beyond one for each.
func (w *world) settledAgain() int {
	w.t.Helper()
	seen := make(map[decision.Position]int)
	for _, r := range w.results() {
		seen[r.Origin]++
	}
	for _, d := range w.deadLetters() {
		seen[d.Original.Origin()]++
	}
	again := 0
	for at := range w.submitted {
		if seen[at] == 0 {
			w.t.Errorf("%v was never settled", at)
		}
		again += max(seen[at]-1, 0)
	}
	return again
}

// checkOrder checks that each task got the states of its completed decisions once
// each, in the order of their offsets.
func (w *world) checkOrder(outcomes map[decision.Position]string) {
	w.t.Helper()
	type source struct {
		task decision.Task
		from place
	}
	want := make(map[source][]decision.State)
	for _, at := range w.submittedInOrder() {
		if s := w.submitted[at]; outcomes[at] == string(decision.Completed) {
			k := source{s.task, place{at.Topic, at.Partition}}
			want[k] = append(want[k], s.state)
		}
	}
	got := make(map[decision.Task][]decision.State)
	for _, c := range w.completions() {
		t := decision.NewTask(c.ProfileID, c.TaskID)
		got[t] = append(got[t], c.State)
	}
	for k, states := range want {
		if !slices.Equal(got[k.task], states) {
			w.t.Errorf("task %v was put into %v, want %v", k.task, got[k.task], states)
		}
	}
}

// submittedInOrder returns the origins of the decisions, by offset.
func (w *world) submittedInOrder() []decision.Position {
	return slices.SortedFunc(maps.Keys(w.submitted), func(a, b decision.Position) int { return int(a.Offset - b.Offset) })
}

// checkOneCallEach checks that each decision cost one call.
func (w *world) checkOneCallEach() {
	w.t.Helper()
	if calls, decisions := len(w.completions()), len(w.submitted); calls != decisions {
		w.t.Errorf("%d calls for %d decisions", calls, decisions)
	}
}

// checkCommitted checks that the topics that `run` reads are committed to their
// ends.
func (w *world) checkCommitted() {
	w.t.Helper()
	for _, topic := range w.cfg.Kafka.Topics.Inputs() {
		for p := range partitions {
			end := w.kafka.HighWatermark(topic, p)
			offset, metadata, ok := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p)
			if !ok || offset != end || metadata != "" {
				w.t.Errorf("%s/%d: committed %d %q (%v), the end is %d", topic, p, offset, metadata, ok, end)
			}
		}
	}
}

// watchCommits checks until the test ends that no commit goes back.
func (w *world) watchCommits() {
	stop, done := make(chan struct{}), make(chan struct{})
	w.watchers = append(w.watchers, func() { close(stop); <-done })
	go func() {
		defer close(done)
		last := make(map[place]int64)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
			for _, topic := range w.cfg.Kafka.Topics.Inputs() {
				for p := range partitions {
					at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p)
					if key := (place{topic, p}); at < last[key] {
						w.t.Errorf("%s/%d: the commit went back from %d to %d", topic, p, last[key], at)
					} else {
						last[key] = at
					}
				}
			}
		}
	}()
}

// checkRate checks that no second held more calls than rate and burst allow,
// whatever their operation.
func (w *world) checkRate(rate, burst int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	first := 0
	for i, c := range w.calls {
		for c.Time.Sub(w.calls[first].Time) >= time.Second {
			first++
		}
		if n := i - first + 1; n > rate+burst {
			w.t.Fatalf("%d calls in the second before %v; the limit is %d + %d", n, c.Time, rate, burst)
		}
	}
}
