package processor

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
)

// TestDrainForgetsProfilesOfPanickedResults: what it takes out
// of the queue may have a result that was held.
func TestDrainForgetsProfilesOfPanickedResults(t *testing.T) {
	onStage(t, func(s *stage) {
		s.onPublish = func(decision.Record) error { panic("publish") }
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(5 * time.Minute) // onStage drains, and looks at what is left
	}, func(o *Options) { o.ProfileOutcome = true })
}

// TestPanicWhileHoldingAResultHoldsItOnce has the claim panic in between.
func TestPanicWhileHoldingAResultHoldsItOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		first := true
		s.onAttempted = func() {
			if first {
				first = false
				panic("attempted")
			}
		}
		s.submit(decisionOn(0, ""))
		s.await(1)
		time.Sleep(5 * time.Minute)
		s.wantEnd("0", "results")
		s.wantSettled(1)
	}, func(o *Options) { o.ProfileOutcome = true })
}

func TestHeldAnswersAreBoundedInBytes(t *testing.T) {
	onStage(t, func(s *stage) {
		s.answer = []byte(`"` + strings.Repeat("x", maxHeldBytes/8) + `"`) // one for all, so that it costs nothing
		began := time.Now()
		var looked atomic.Int64
		s.onCall = func(op, _ string) {
			if op == "list" {
				looked.CompareAndSwap(0, 1+int64(time.Since(began)))
			}
		}
		var values []string
		for i := range 12 {
			values = append(values, fmt.Sprintf(`{"profile_id":"00000000-0000-0000-0000-000000000001","task_id":"00000000-0000-0000-0000-%012x","state":"COMPLETED_PASS"}`, i))
		}
		s.submit(values...)
		s.await(12)
		if first := time.Duration(looked.Load() - 1); first < 0 || first >= 100*time.Millisecond {
			t.Errorf("the first look came after %v", first)
		}
		s.p.owner.mu.Lock()
		defer s.p.owner.mu.Unlock()
		if !s.p.m.reviews.Empty() {
			t.Error("results or their bytes are still held")
		}
	}, func(o *Options) { o.ProfileOutcome, o.Workers = true, 8 })
}

func TestPanicInAReviewLosesNoResult(t *testing.T) {
	for name, place := range map[string]string{"in the list": "list", "in the publisher": "publish", "in settling": "settle"} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				var n atomic.Int32
				boom := func(here string) {
					if here == place && n.Add(1) <= 2 {
						panic(here)
					}
				}
				s.onCall = func(op, _ string) { boom(op) }
				s.onPublish = func(decision.Record) error { boom("publish"); return nil }
				s.onSettle = func(int64) { boom("settle") }
				var values []string
				for i := range 6 {
					values = append(values, strings.Replace(byAlias(i/3, "x", ""), `"task":{"alias":"x"}`, fmt.Sprintf(`"task_id":"00000000-0000-0000-0000-%012x"`, i), 1))
				}
				s.submit(values...)
				s.await(6)
				for key, said := range s.outcomes() {
					if said != "results" {
						t.Errorf("%s: %s", key, said)
					}
				}
				completed := 0
				s.mu.Lock()
				for _, c := range s.calls {
					if strings.HasPrefix(c, "complete ") {
						completed++
					}
				}
				s.mu.Unlock()
				if completed != 6 || len(s.outcomes()) != 6 {
					t.Errorf("%d completions, %d outcomes", completed, len(s.outcomes()))
				}
				s.p.owner.mu.Lock()
				defer s.p.owner.mu.Unlock()
				if !s.p.m.reviews.Empty() {
					t.Error("results are still held")
				}
			}, func(o *Options) { o.ProfileOutcome = true })
		})
	}
}
