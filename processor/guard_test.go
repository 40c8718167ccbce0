package processor

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/passfort"
)

// TestHeldGroupOfOneProfileIsProbedAndGoesOn has the API refuse all decisions on a profile,
// and then carry them out.
func TestHeldGroupOfOneProfileIsProbedAndGoesOn(t *testing.T) {
	onStage(t, func(s *stage) {
		var refuses atomic.Bool
		refuses.Store(true)
		s.fails = func(op, _ string) error {
			if op == "complete" && refuses.Load() {
				return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindRejected, Status: 422}
			}
			return nil
		}
		calls := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.calls)
		}
		s.submit(decisionOn(0, ""), decisionOn(1, ""), decisionOn(2, ""), decisionOn(3, ""), decisionOn(4, ""), decisionOn(5, ""))
		time.Sleep(2 * time.Minute)
		before := calls()
		time.Sleep(2 * time.Minute)
		if n := calls() - before; n != 4 {
			t.Errorf("%d probes in two minutes, want one every 30 s", n)
		}
		s.wantSettled(2)
		refuses.Store(false)
		s.await(6)
		if dead := len(slices.DeleteFunc(slices.Collect(maps.Values(s.outcomes())), func(end string) bool { return end != "dead rejected" })); dead != 2 {
			t.Errorf("%d dead letters, want 2: %v", dead, s.outcomes())
		}
	}, func(o *Options) { o.Guard = 2 })
}
