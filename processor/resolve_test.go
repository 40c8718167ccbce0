package processor

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

func TestPanicInALookUpCostsOneAttempt(t *testing.T) {
	onStage(t, func(s *stage) {
		var n atomic.Int32
		s.onCall = func(op, _ string) {
			if op == "list" && n.Add(1) == 1 {
				panic("in a list")
			}
		}
		s.submit(byAlias(1, "a", ""), byAlias(1, "a", ""), byAlias(1, "b", ""))
		s.await(3)
		got := s.outcomes()
		if got["0"] != "results" || got["1"] != "results" || got["2"] != "dead task_not_found" {
			t.Errorf("outcomes %v", got)
		}
	})
}

// TestPanicWhileRefusingBehindAGate has the publisher panic for the
// decision whose look-up found nothing, or for those that were never begun: their
// look-up was another's.
func TestPanicWhileRefusingBehindAGate(t *testing.T) {
	for name, panics := range map[string]string{"for the first": "1", "for one that waits": "3", "for one that expired": "2"} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				n := 0
				s.onPublish = func(rec decision.Record) error {
					if rec.Topic == "dead" && string(rec.Key) == panics && n < 3 {
						n++
						panic("in the publisher")
					}
					return nil
				}
				look := make(chan struct{})
				s.onCall = func(op, _ string) {
					if op == "list" {
						<-look
					}
				}
				s.submit(decisionOn(0, ""), byAlias(1, "b", ""), byAlias(1, "c", `,"expires_at":"1999-01-01T00:00:00Z"`), byAlias(1, "d", ""), byAlias(1, "a", ""))
				synctest.Wait() // all of them wait for the list that the second asks for
				close(look)
				s.await(5)
				want := map[string]string{"0": "results", "1": "dead task_not_found", "2": "dead expired", "3": "dead task_not_found", "4": "results"}
				if got := s.outcomes(); !maps.Equal(got, want) {
					t.Errorf("outcomes %v", got)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if lists := slices.DeleteFunc(slices.Clone(s.calls), func(c string) bool { return !strings.HasPrefix(c, "list ") }); len(lists) != 1 {
					t.Errorf("calls %v, want one list", s.calls)
				}
			})
		})
	}
}

// TestMaybeAppliedDecisionLeavesSuccessorTaskAlone has the task
// replaced between a completion without an answer and the look that follows.
func TestMaybeAppliedDecisionLeavesSuccessorTaskAlone(t *testing.T) {
	for _, preflight := range []decision.Preflight{decision.PreflightRetry, decision.PreflightNever} {
		t.Run(string(preflight), func(t *testing.T) {
			onStage(t, func(s *stage) {
				const successor = "00000000-0000-0000-0000-0000000000bb"
				first := true
				s.fails = func(op, task string) error {
					s.mu.Lock()
					defer s.mu.Unlock()
					switch {
					case task != listedID:
						return nil
					case first:
						first, s.listed = false, successor
						return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindTimeout, MaybeApplied: true}
					}
					return &passfort.Error{Operation: passfort.OpGetTask, Kind: passfort.KindNotFound, Status: 404}
				}
				s.submit(byAlias(1, "a", ""))
				s.await(1)
				s.wantEnd("0", "dead task_not_found")
				s.mu.Lock()
				defer s.mu.Unlock()
				if slices.Contains(s.calls, "complete "+successor) {
					t.Errorf("calls %v", s.calls)
				}
			}, func(o *Options) { o.Preflight = preflight })
		})
	}
}
