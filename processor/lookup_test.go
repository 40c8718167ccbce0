package processor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

func byAlias(profile int, alias string, more string) string {
	return fmt.Sprintf(`{"profile_id":"00000000-0000-0000-0000-%012x","task":{"alias":%q},"state":"COMPLETED_PASS"%s}`, profile, alias, more)
}

// outcomes is what was published, by key: the topic, and the header of a dead
// letter's reason.
func (s *stage) outcomes() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]string)
	for _, rec := range s.published {
		said := rec.Topic
		for _, h := range rec.Headers {
			if h.Key == decision.HeaderReason {
				said += " " + string(h.Value)
			}
		}
		if before, twice := all[string(rec.Key)]; twice {
			said = before + ", " + said
		}
		all[string(rec.Key)] = said
	}
	return all
}

func (s *stage) await(n int) {
	s.t.Helper()
	for range 1000 {
		time.Sleep(100 * time.Millisecond)
		s.mu.Lock()
		settled := len(s.settled)
		s.mu.Unlock()
		if settled >= n {
			synctest.Wait()
			return
		}
	}
	s.t.Fatalf("%d are settled, want %d: %v", len(s.settled), n, s.outcomes())
}

func TestAPanicInALookUpCostsThatDecisionAnAttempt(t *testing.T) {
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

// TestAPanicWhileTheRestBehindAGateIsRefused has the publisher panic for the
// decision whose look-up found nothing, or for those that were never begun: their
// look-up was another's.
func TestAPanicWhileTheRestBehindAGateIsRefused(t *testing.T) {
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

// TestADecisionThatMayBeDoneLeavesTheSuccessorOfItsTaskAlone has the task
// replaced between a completion without an answer and the look that follows.
func TestADecisionThatMayBeDoneLeavesTheSuccessorOfItsTaskAlone(t *testing.T) {
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

func TestAnswersThatAreHeldAreBoundedInBytes(t *testing.T) {
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
		if first := time.Duration(looked.Load() - 1); first < 0 || first >= profileLinger {
			t.Errorf("the first look came after %v", first)
		}
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		if s.p.profiles.bytes != [len(decision.Lanes)]int{} {
			t.Errorf("%d bytes are held", s.p.profiles.bytes)
		}
	}, func(o *Options) { o.ProfileOutcome, o.Workers = true, 8 })
}

func TestAPanicInALookAtAProfileLosesNoResult(t *testing.T) {
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
				s.p.mu.Lock()
				defer s.p.mu.Unlock()
				if none := [len(decision.Lanes)]int{}; s.p.profiles.held != none || s.p.profiles.bytes != none || len(s.p.profiles.known) != 0 {
					t.Errorf("%d held, of %d profiles", s.p.profiles.held, len(s.p.profiles.known))
				}
			}, func(o *Options) { o.ProfileOutcome = true })
		})
	}
}
