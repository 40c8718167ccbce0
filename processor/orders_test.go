package processor

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/passfort"
)

// holding returns orders that hold batches. The run of a batch has the batch's name.
func holding(batches ...string) ledger.Orders {
	o := ledger.Orders{Batches: make(map[string]ledger.Hold), BatchOf: make(map[string]string)}
	for _, b := range batches {
		o.Batches[b], o.BatchOf[b] = ledger.Hold{Held: true}, b
	}
	return o
}

// cancelling returns orders that cancel what a batch has before an offset.
func cancelling(batch string, before int64) ledger.Orders {
	o := holding(batch)
	o.Batches[batch] = ledger.Hold{Cancelled: map[string]map[int]int64{"decisions": {0: before}}}
	return o
}

func (s *stage) wantCalls(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.calls, want) {
		s.t.Errorf("calls %q, want %q", s.calls, want)
	}
}

// TestBroughtBackDecisionDoesNotOvertake holds a batch again while its decision, and a later one
// of another batch on the same task, are being read again.
func TestBroughtBackDecisionDoesNotOvertake(t *testing.T) {
	onStage(t, func(s *stage) {
		s.p.Obey(holding("a"))
		s.submitFrom("a", 0, decisionOn(1, ""))
		s.submitFrom("b", 1, decisionOn(1, ""))
		s.submitFrom("b", 2, decisionOn(2, ""))
		time.Sleep(time.Second)
		s.wantCalls("complete " + taskID(2))
		s.onFetch = func() { s.onFetch = nil; s.p.Obey(holding("a")) }
		s.p.Obey(holding())
		time.Sleep(time.Minute)
		s.wantCalls("complete " + taskID(2))
		var held atomic.Int64
		s.onCall = func(string, string) { held.Add(1) }
		s.p.Obey(holding())
		s.await(3)
		if held.Load() != 2 {
			t.Errorf("%d calls after the resume", held.Load())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(s.settled, []int64{2, 0, 1}) {
			t.Errorf("settled in the order %v", s.settled)
		}
	})
}

// TestHoldParksWhatMayBeOnTheSameTask holds a batch whose decision waits before one of another batch
// that names its task, the same, by alias.
func TestHoldParksWhatMayBeOnTheSameTask(t *testing.T) {
	onStage(t, func(s *stage) {
		s.listed = taskID(1)
		s.p.Pause(decision.PausedKafka, true)
		s.submitFrom("a", 0, onProfile(1, 1, ""))
		s.submitFrom("b", 1, byAlias(1, "a", ""))
		s.p.Obey(holding("a"))
		if n := s.p.Status(time.Now()).Lanes[decision.Live].Pending; n != 1 {
			t.Errorf("%d in memory though calls are paused, want the one that is not held", n)
		}
		s.p.Pause(decision.PausedKafka, false)
		time.Sleep(time.Minute)
		s.wantSettled(0)
		s.p.Obey(holding())
		s.await(2)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(s.settled, []int64{0, 1}) {
			t.Errorf("settled in the order %v", s.settled)
		}
	})
}

// TestHoldWhileADecisionIsTriedParksWhatFollows holds a batch while its decision is being called,
// which fails: it does not come back before it is resumed, nor does the next on its task.
func TestHoldWhileADecisionIsTriedParksWhatFollows(t *testing.T) {
	onStage(t, func(s *stage) {
		var failed atomic.Bool
		s.fails = func(string, string) error {
			if failed.Swap(true) {
				return nil
			}
			s.p.Obey(holding("a"))
			return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
		}
		s.submitFrom("a", 0, decisionOn(1, ""))
		s.submitFrom("b", 1, decisionOn(1, ""))
		time.Sleep(time.Hour)
		s.wantCalls("complete " + taskID(1))
		s.p.Obey(holding("b"))
		s.await(1)
		time.Sleep(time.Hour)
		s.wantSettled(1)
		s.p.Obey(holding())
		s.await(2)
	})
}

// TestCancelLeavesWhatWasTriedHeld cancels a batch that is held, whose decision was tried.
func TestCancelLeavesWhatWasTriedHeld(t *testing.T) {
	onStage(t, func(s *stage) {
		var failed atomic.Bool
		s.fails = func(string, string) error {
			if failed.Swap(true) {
				return nil
			}
			s.p.Obey(holding("a"))
			return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
		}
		s.submitFrom("a", 0, decisionOn(1, ""))
		time.Sleep(time.Minute)
		o := cancelling("a", 1)
		o.Batches["a"] = ledger.Hold{Held: true, Cancelled: o.Batches["a"].Cancelled}
		s.p.Obey(o)
		time.Sleep(time.Minute)
		s.wantSettled(0)
		s.p.Obey(cancelling("a", 1))
		s.await(1)
		s.wantEnd("0", "results")
	})
}

// TestHoldStopsAnAttemptBetweenItsCalls holds the lane, or the task, after an attempt has looked.
func TestHoldStopsAnAttemptBetweenItsCalls(t *testing.T) {
	task := decision.NewTask("11111111-1111-1111-1111-111111111111", taskID(1))
	for name, orders := range map[string]ledger.Orders{
		"lane":  {Lanes: [len(decision.Lanes)]bool{decision.Live: true}},
		"task":  {Tasks: map[decision.Task]bool{task: true}},
		"batch": holding("a"),
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				var looked atomic.Bool
				s.onCall = func(op, _ string) {
					if op == "get" && !looked.Swap(true) {
						s.p.Obey(orders)
					}
				}
				s.submitFrom("a", 0, decisionOn(1, ""))
				time.Sleep(time.Minute)
				s.wantCalls("get " + taskID(1))
				s.p.Obey(ledger.Orders{})
				s.await(1)
				s.wantCalls("get "+taskID(1), "get "+taskID(1), "complete "+taskID(1))
			}, func(o *Options) { o.Preflight = decision.PreflightAlways })
		})
	}
}

// TestHoldLeavesWhatIsDone holds and cancels a batch while the result of its decision can't be
// published: the result is published all the same, and nothing is called again.
func TestHoldLeavesWhatIsDone(t *testing.T) {
	onStage(t, func(s *stage) {
		var refuses atomic.Bool
		refuses.Store(true)
		s.onPublish = func(decision.Record) error {
			if refuses.Load() {
				return decision.ErrTooLarge
			}
			return nil
		}
		s.submitFrom("a", 0, decisionOn(1, ""))
		time.Sleep(10 * time.Second)
		s.p.Obey(holding("a"))
		s.p.Obey(cancelling("a", 1))
		refuses.Store(false)
		s.await(1)
		s.wantEnd("0", "results")
		s.wantCalls("complete " + taskID(1))
	})
}

// TestCancelEndsWhatWasNotBegun cancels a batch whose decisions are parked behind others, queued,
// being tried, or yet to come; and drains while one is being settled.
func TestCancelEndsWhatWasNotBegun(t *testing.T) {
	onStage(t, func(s *stage) {
		s.fails = func(string, string) error {
			return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
		}
		for n := range int64(200) { // on one task: 64 in memory
			s.submitFrom("a", n, decisionOn(1, ""))
		}
		s.submitFrom("b", 200, decisionOn(2, ""))
		time.Sleep(5 * time.Second)
		o := cancelling("a", 250)
		o.By = map[string]ledger.Entry{"a": {At: time.Now(), Author: ledger.Author{Actor: "ops\n", Command: "cancel", Why: "the wrong file"}}}
		s.p.Obey(o)
		s.submitFrom("a", 201, decisionOn(3, ""))
		s.submitFrom("a", 250, decisionOn(4, ""))
		time.Sleep(10 * time.Second)
		s.wantSettled(200) // all but the first, which was tried, the other batch's, and what came later
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, rec := range s.published {
			for _, h := range rec.Headers {
				if h.Key == decision.HeaderError && !strings.HasPrefix(string(h.Value), "its batch a was cancelled by ops") {
					t.Fatalf("its error is %q", h.Value)
				}
			}
		}
	})
}

// TestResumeEndsTheGuardsHold has the API refuse a batch, and somebody let it go on.
func TestResumeEndsTheGuardsHold(t *testing.T) {
	for name, run := range map[string]string{"a batch that is known": "a", "a batch that is named": "b"} {
		t.Run(name, func(t *testing.T) { resumeRefused(t, run) })
	}
}

func resumeRefused(t *testing.T, run string) {
	onStage(t, func(s *stage) {
		var refuses atomic.Bool
		refuses.Store(true)
		s.fails = func(op, _ string) error {
			if op == "complete" && refuses.Load() {
				return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindRejected, Status: 422}
			}
			return nil
		}
		if run == "a" {
			s.p.Obey(ledger.Orders{BatchOf: map[string]string{"a": "spring"}})
		}
		for n := range int64(10) {
			s.submitFrom(run, n, onProfile(int(n), int(n), `,"batch_id":"spring"`))
		}
		if run == "a" { // somebody else's, of the same name
			s.submitFrom("b", 10, onProfile(0, 10, `,"batch_id":"spring"`))
		}
		time.Sleep(time.Minute)
		refused := func() bool { return len(s.p.Status(time.Now()).Lanes[decision.Live].Pauses) == 1 }
		if !refused() {
			t.Fatal("the batch is not held")
		}
		s.p.Resumed(ledger.HoldBatch("autumn"))
		s.p.Resumed(ledger.HoldLane(decision.Live))
		s.p.Resumed(ledger.HoldTask(decision.Task{}))
		if !refused() {
			t.Error("resuming something else ended its hold")
		}
		refuses.Store(false)
		s.p.Resumed(ledger.HoldBatch("spring"))
		if refused() {
			t.Error("still held")
		}
		began := time.Now()
		s.await(10)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	}, func(o *Options) { o.Guard = 5 })
}
