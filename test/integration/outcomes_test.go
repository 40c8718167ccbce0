package integration

import (
	"math"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// outcome is what was published for a decision.
type outcome struct {
	name string // outcome of the result, or reason of the dead letter
	at   decision.Position
}

// outcomes returns what was published for each decision, partition by partition, results
// first. It checks that every decision has an outcome, and nothing else has.
func (s *scene) outcomes() map[decision.Position][]string {
	s.t.Helper()
	found := make(map[decision.Position][]string)
	for _, o := range s.published() {
		found[o.at] = append(found[o.at], o.name)
	}
	for at := range s.sent {
		if len(found[at]) == 0 {
			s.t.Errorf("%v was never settled", at)
		}
	}
	for at := range found {
		if _, ok := s.sent[at]; !ok {
			s.t.Errorf("%v is settled (%s), but was never sent", at, found[at])
		}
	}
	return found
}

// published returns all results, then all dead letters.
func (s *scene) published() (all []outcome) {
	s.t.Helper()
	for _, rec := range s.read(s.topics.results) {
		r, err := decision.ParseResult(rec.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, outcome{string(r.Outcome), r.Origin})
	}
	for _, rec := range s.read(s.topics.deadLetters) {
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, outcome{string(d.Reason), d.Original.Origin()})
	}
	return all
}

// repeats returns how many results and dead letters there are beyond one per decision.
func (s *scene) repeats() int {
	s.t.Helper()
	n := 0
	for _, names := range s.outcomes() {
		n += len(names) - 1
	}
	return n
}

// settled returns how many results and dead letters there are.
func (s *scene) settled() int { return s.count(s.topics.results) + s.count(s.topics.deadLetters) }

// checkSettledOnce checks that every decision has exactly one outcome.
func (s *scene) checkSettledOnce() {
	s.t.Helper()
	for at, names := range s.outcomes() {
		if len(names) > 1 {
			s.t.Errorf("%v is settled %d times: %s", at, len(names), names)
		}
	}
}

// awaitAll waits until everything that was sent is committed, which means that every
// result and dead letter is published. It waits for as long as more gets settled, because
// a backlog takes its time at the rate limit.
func (s *scene) awaitAll() {
	s.t.Helper()
	var open []string
	defer func() {
		if len(open) > 0 {
			s.t.Logf("not committed: %s", open)
		}
	}()
	for settled := math.MinInt; ; { // it is less than 0 while Kafka does not answer
		now := s.settled()
		if now == settled {
			s.t.Fatalf("nothing was settled or committed within %v", patience)
		}
		settled = now
		if within(s.t, patience, func() bool {
			open = s.uncommitted()
			return len(open) == 0
		}) {
			return
		}
	}
}

// completions returns the completions that arrived so far, in order.
func (s *scene) completions() (all []sandbox.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.Operation == passfort.OpComplete {
			all = append(all, c)
		}
	}
	return all
}

// checkCalledOnce checks that no task got more completions than decisions.
func (s *scene) checkCalledOnce() {
	s.t.Helper()
	decisions, calls := make(map[decision.Task]int), make(map[decision.Task]int)
	for _, d := range s.sent {
		decisions[d.task]++
	}
	for _, c := range s.completions() {
		calls[decision.NewTask(c.ProfileID, c.TaskID)]++
	}
	for task, n := range calls {
		if n > decisions[task] {
			s.t.Errorf("task %v was called %d times for %d decisions", task, n, decisions[task])
		}
	}
}

// callsSince counts the completions that arrived at or after t.
func (s *scene) callsSince(t time.Time) (n int) {
	for _, c := range s.completions() {
		if !c.Time.Before(t) {
			n++
		}
	}
	return n
}
