package health

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

var start = time.Unix(1_000_000, 0)

func taskOf(n int) decision.Task {
	return decision.Task{ProfileID: fmt.Sprint("p", n/10), TaskID: fmt.Sprint(n)}
}

// api is a Health with a clock and an API that it asks.
type api struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	h      *Health
	now    time.Time
	whoami bool // it works
	asked  int
}

func newAPI(t *testing.T) *api {
	a := &api{t: t, h: New(true), now: start, whoami: true}
	a.pass(0)
	return a
}

// pass lets time pass, in which whoami is asked whenever that is wanted.
func (a *api) pass(d time.Duration) {
	for end := a.now.Add(d); ; {
		at, ok := a.h.AskAt(50)
		if !ok || at.After(end) {
			a.now = end
			return
		}
		if at.After(a.now) {
			a.now = at
		}
		a.h.Asking(a.now)
		a.asked++
		if a.whoami {
			a.h.Named([len(decision.Lanes)]bool{}, a.now)
		} else {
			a.h.Unnamed(a.now)
		}
	}
}

// call makes a call of the live lane, which must be let through.
func (a *api) call(s Signal, first bool) (Permit, Change) {
	a.t.Helper()
	p, ok := a.h.Acquire(decision.Live, a.now)
	if !ok {
		a.t.Fatalf("a call is not let through at %v", a.now.Sub(start))
	}
	return p, a.h.Release(p, s, first, a.now)[decision.Live]
}

func (a *api) wantPaused(want bool) {
	a.t.Helper()
	if got, some := a.h.Paused(decision.Live), a.h.AnyPaused(); got != want || want && !some {
		a.t.Fatalf("paused %v at %v, any lane %v, want %v", got, a.now.Sub(start), some, want)
	}
}

func TestNothingGoesBeforeWhoAmIWasAsked(t *testing.T) {
	h := New(true)
	if ok, again := h.Ready(decision.Live, start); ok || again != 0 {
		t.Fatalf("ready %v in %v before whoami was asked", ok, again)
	}
	if at, ok := h.AskAt(0.001); !ok || at.After(start) {
		t.Fatalf("whoami is to be asked at %v, %v", at, ok)
	}
	h.Asking(start)
	if _, ok := h.AskAt(50); ok {
		t.Error("whoami is to be asked twice at once")
	}
	if changes := h.Named([len(decision.Lanes)]bool{}, start); changes != (Changes{}) {
		t.Errorf("changes %v: there was no pause", changes)
	}
	if ok, _ := h.Ready(decision.Backfill, start); !ok {
		t.Error("not ready after whoami was good")
	}
	if _, ok := h.AskAt(50); ok {
		t.Error("whoami is to be asked although nothing failed")
	}
	if ok, _ := New(false).Ready(decision.Live, start); !ok {
		t.Error("not ready where there is no whoami")
	}
}

func TestFailedWhoAmIAtTheStartLetsOneCallThrough(t *testing.T) {
	a := &api{t: t, h: New(true), now: start}
	a.pass(0)
	a.wantPaused(true)
	p, ok := a.h.Acquire(decision.Live, a.now)
	if _, second := a.h.Acquire(decision.Live, a.now); !ok || !p.Probe || second {
		t.Fatalf("permit %+v, %v, a second one %v", p, ok, second)
	}
	if a.h.Release(p, Works, true, a.now) != (Changes{Resumed, Resumed}) {
		t.Error("a success does not outweigh whoami, in both lanes")
	}
	a.call(Fails, true) // whoami has not failed since
	a.wantPaused(false)
	a.pass(2 * time.Second)
	a.wantPaused(true)
}

func TestLaneWhoseFirstAttemptsFailPauses(t *testing.T) {
	a := newAPI(t)
	for range mostlyFailing - 1 {
		a.call(Fails, true)
	}
	a.wantPaused(false)
	if _, c := a.call(Fails, true); c != Paused {
		t.Fatalf("change %v", c)
	}
	if ok, again := a.h.Ready(decision.Live, a.now); ok || again != probeWell {
		t.Errorf("ready %v, again in %v", ok, again)
	}
	if ok, _ := a.h.Ready(decision.Backfill, a.now); !ok {
		t.Error("the other lane is held too")
	}
	a.now = a.now.Add(probeWell)
	for _, s := range []Signal{Fails, Neutral} {
		p, c := a.call(s, true)
		if !p.Probe || c != None {
			t.Fatalf("permit %+v, change %v", p, c)
		}
		if _, ok := a.h.Acquire(decision.Live, a.now); ok {
			t.Fatal("a call right after a failed probe")
		}
		a.now = a.now.Add(probeWell)
	}
	if _, c := a.call(Refused, true); c != Resumed {
		t.Error("a refusal is no answer of the API")
	}
	for range mostlyFailing - 1 {
		a.call(Fails, true)
	}
	a.wantPaused(false) // what was before the pause is forgotten
}

func TestTriedDecisionsThatFailAgainPauseNothing(t *testing.T) {
	a := newAPI(t)
	for n := range 10_000 {
		a.call(Fails, n < 12) // twelve decisions that always fail
		a.pass(50 * time.Millisecond)
	}
	if a.asked < 400 || a.asked > 510 {
		t.Errorf("whoami was asked %d times in 500 s of failures", a.asked)
	}
	a.pass(time.Second)
	before := a.asked
	if a.pass(time.Hour); a.asked != before {
		t.Errorf("whoami was asked %d times in an hour without a call", a.asked-before)
	}
}

// TestWhoAmIAloneFails leaves the lanes as they are: their latest calls worked.
func TestWhoAmIAloneFails(t *testing.T) {
	a := newAPI(t)
	a.call(Works, true)
	a.h.Asking(a.now)
	if c := a.h.Unnamed(a.now); c != (Changes{}) {
		t.Errorf("whoami's failure changes %v", c)
	}
	if _, c := a.call(Works, true); c != None {
		t.Errorf("a call that works changes %v", c)
	}
}

func TestProbesAreFurtherApartTheLessIsKnown(t *testing.T) {
	for apart, h := range map[time.Duration]*Health{probeWell: newAPI(t).h, probeUnknown: New(false)} {
		for range mostlyFailing {
			p, _ := h.Acquire(decision.Live, start)
			h.Release(p, Fails, true, start)
		}
		if ok, again := h.Ready(decision.Live, start); ok || again != apart || apart < time.Second {
			t.Errorf("ready %v, again in %v, want %v", ok, again, apart)
		}
	}
}

// TestWhoAmIIsAskedAgain after each end that asking it can have, where a call was
// refused as it would be with a bad key.
func TestWhoAmIIsAskedAgain(t *testing.T) {
	for name, end := range map[string]func(h *Health){"throttled": (*Health).Unasked, "refused": (*Health).KeyRefused} {
		a := newAPI(t)
		a.pass(time.Minute)
		a.h.Suspect(a.now)
		a.h.Asking(a.now)
		end(a.h)
		a.h.Completes(taskOf(1), a.now.Add(-1)) // which began before the refusal
		if at, ok := a.h.AskAt(50); !ok || !at.Equal(a.now.Add(askApart)) {
			t.Errorf("%s: asked again at %v, %v", name, at.Sub(a.now), ok)
		}
		a.h.Completes(taskOf(1), a.now.Add(1))
		if _, ok := a.h.AskAt(50); ok {
			t.Errorf("%s: asked again although the key was good since", name)
		}
		if got := a.h.KeyRefusedAfter(a.now.Add(-1)); got != (name == "refused") || a.h.KeyRefusedAfter(a.now) {
			t.Errorf("%s: the key was refused: %v", name, got)
		}
	}
}

func TestLoneFailureAndWhoAmIPauseTheLane(t *testing.T) {
	for _, s := range []Signal{Fails, Refused} {
		a := newAPI(t)
		a.whoami = false
		a.call(s, false)
		a.wantPaused(false)
		a.pass(explainAfter)
		a.wantPaused(true)
		if ok, again := a.h.Ready(decision.Live, a.now); ok || again != probeSick {
			t.Errorf("ready %v, again in %v", ok, again)
		}
		a.now = a.now.Add(probeSick)
		if _, c := a.call(Refused, false); c != None {
			t.Error("a refusal ends a pause while whoami fails")
		}
		a.whoami = true
		a.pass(0)
		if _, c := a.call(Refused, false); c != Resumed { // at once, since whoami is good
			t.Error("a refusal does not end a pause while whoami is good")
		}
	}
}

func TestIdleLaneResumesWhenWhoAmIIsGood(t *testing.T) {
	a := newAPI(t)
	a.whoami = false
	a.call(Fails, true)
	a.pass(time.Minute)
	a.wantPaused(true)
	a.h.Asking(a.now)
	if c := a.h.Named([len(decision.Lanes)]bool{true, true}, a.now); c != (Changes{decision.Live: Resumed}) {
		t.Errorf("changes %v", c)
	}
}

func TestCompletionMakesAskingUnnecessary(t *testing.T) {
	a := newAPI(t)
	before := a.asked
	for n := range 1000 {
		a.call(Fails, false)
		a.pass(100 * time.Millisecond)
		a.call(Works, true)
		a.h.Completes(taskOf(n), a.now)
		a.pass(100 * time.Millisecond)
	}
	if a.asked != before {
		t.Errorf("whoami was asked %d times although others were completed", a.asked-before)
	}
}

func TestWhoAmITakesATwentiethOfTheRateAtMost(t *testing.T) {
	for rate, apart := range map[float64]time.Duration{50: time.Second, 2: 10 * time.Second, 0.1: 200 * time.Second, 0.01: askAtLeast, 0: askAtLeast} {
		h := New(true)
		h.Asking(start)
		h.Named([len(decision.Lanes)]bool{}, start)
		h.Suspect(start.Add(time.Millisecond))
		if at, ok := h.AskAt(rate); !ok || at.Sub(start).Round(time.Millisecond) != apart {
			t.Errorf("at %v calls a second, whoami is asked after %v, %v; want %v", rate, at.Sub(start), ok, apart)
		}
	}
}

func TestEvidenceIsOfAnotherTaskAndAfterTheFailure(t *testing.T) {
	a := newAPI(t)
	want := func(of int, since time.Time, want Evidence) {
		t.Helper()
		if got := a.h.Evidence(taskOf(of), since); got != want {
			t.Errorf("evidence for task %d is %v, want %v", of, got, want)
		}
	}
	want(1, start, NoEvidence) // whoami was asked at that moment, not after it
	want(1, start.Add(-1), Identified)
	a.now = start.Add(time.Second)
	a.h.Completes(taskOf(1), a.now)
	want(1, start, NoEvidence)
	want(2, start, Completed)
	want(2, a.now, NoEvidence)
	a.h.Completes(taskOf(2), a.now.Add(1))
	want(1, start, Completed)
	want(2, start, Completed)
	a.h.Completes(taskOf(2), a.now.Add(2))
	a.h.Completes(taskOf(2), a.now.Add(1)) // which came late
	want(1, a.now.Add(1), Completed)
	want(2, a.now.Add(-1), Completed)
	want(2, a.now, NoEvidence)
}

// TestWhateverHappensThePauseEnds makes random calls with random answers; then the API
// works, and within bounded time so does the lane.
func TestWhateverHappensThePauseEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &api{t: t, h: New(rapid.Bool().Draw(t, "asks")), now: start, whoami: rapid.Bool().Draw(t, "whoami at the start")}
		var open []Permit
		valid := map[Permit]bool{} // of all that were acquired
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				a.pass(time.Duration(rapid.IntRange(0, 15_000).Draw(t, "ms")) * time.Millisecond)
			case 1:
				a.whoami = !a.whoami
			case 2, 3:
				if p, ok := a.h.Acquire(decision.Live, a.now); ok {
					open = append(open, p)
					if was, ok := valid[p]; ok && !was {
						t.Fatalf("permit %+v was void before", p)
					}
					valid[p] = true
				}
			case 4:
				if len(open) == 0 {
					continue
				}
				p := open[0]
				open = open[1:]
				if rapid.IntRange(0, 9).Draw(t, "unused") == 0 {
					a.h.Unused(p)
					continue
				}
				a.h.Release(p, Signal(rapid.IntRange(0, 3).Draw(t, "signal")), rapid.Bool().Draw(t, "first"), a.now)
			}
			for p, was := range valid {
				if valid[p] = a.h.Valid(p); valid[p] && !was {
					t.Fatalf("permit %+v is valid again", p)
				}
			}
			probes := 0
			for _, p := range open {
				if p.Probe && a.h.Valid(p) {
					probes++
				}
			}
			if a.h.Paused(decision.Live) && probes > 1 {
				t.Fatalf("%d probes at once", probes)
			}
		}
		for _, p := range open {
			a.h.Release(p, Works, true, a.now)
		}
		a.whoami = true
		for range 3 {
			a.pass(probeSick)
			if p, ok := a.h.Acquire(decision.Live, a.now); ok {
				a.h.Release(p, Works, true, a.now)
			}
		}
		a.wantPaused(false)
	})
}

func TestWhoAmIIsAskedEveryTenSecondsInAPause(t *testing.T) {
	for whoami, wantProbes := range map[bool]int{false: 60, true: 600} {
		a := newAPI(t)
		a.whoami = whoami
		for range mostlyFailing {
			a.call(Fails, true)
		}
		a.pass(time.Second)
		a.wantPaused(true)
		before := a.asked
		probes := 0
		for range 600 {
			a.pass(time.Second)
			if p, ok := a.h.Acquire(decision.Live, a.now); ok {
				a.h.Release(p, Fails, false, a.now)
				probes++
			}
		}
		if asked := a.asked - before; asked != 60 || probes != wantProbes {
			t.Errorf("whoami, which is good: %v, was asked %d times and %d probes went in ten minutes, want 60 and %d", whoami, asked, probes, wantProbes)
		}
	}
}

func TestPermitEndsWithItsState(t *testing.T) {
	a := newAPI(t)
	early, _ := a.h.Acquire(decision.Live, a.now)
	other, _ := a.h.Acquire(decision.Live, a.now)
	a.h.Unused(other)
	if !a.h.Valid(early) {
		t.Fatal("a permit is not valid")
	}
	for range mostlyFailing {
		a.call(Fails, true)
	}
	if a.h.Valid(early) {
		t.Error("a permit from before the pause is still valid")
	}
	if c := a.h.Release(early, Works, true, a.now); c != (Changes{}) {
		t.Errorf("a call from before the pause ends it: %v", c)
	}
	a.wantPaused(true)
	a.now = a.now.Add(probeWell)
	probe, _ := a.h.Acquire(decision.Live, a.now)
	a.h.Unused(early) // it is no probe's
	if ok, again := a.h.Ready(decision.Live, a.now); ok || again != 0 {
		t.Errorf("ready %v in %v while the probe is under way", ok, again)
	}
	a.h.Unused(probe)
	if ok, _ := a.h.Ready(decision.Live, a.now); !ok || a.h.Valid(probe) {
		t.Error("a probe that was not used is not given to the next call")
	}
	a.h.Unused(probe) // again
	if p, c := a.call(Works, true); !p.Probe || c != Resumed {
		t.Errorf("permit %+v, change %v", p, c)
	}
}

// TestLaneWhoseOwnProbeFailedWaitsForItsOwn: at the start whoami alone paused it.
func TestLaneWhoseOwnProbeFailedWaitsForItsOwn(t *testing.T) {
	for own, want := range map[Signal]Change{Fails: None, Neutral: Resumed} {
		a := &api{t: t, h: New(true), now: start}
		a.pass(0)
		a.call(own, true)
		p, _ := a.h.Acquire(decision.Backfill, a.now)
		if c := a.h.Release(p, Works, true, a.now); c[decision.Live] != want || c[decision.Backfill] != Resumed {
			t.Errorf("after its own probe's %v: changes %v, want %v for live", own, c, want)
		}
		if ok, again := a.h.Ready(decision.Live, a.now); want == None && (ok || again != probeWell) {
			t.Errorf("its next probe goes in %v", again)
		}
	}
}

func TestOneFailureExplainedLeavesTheNext(t *testing.T) {
	a := newAPI(t)
	a.call(Fails, false)
	first := a.now
	a.now = a.now.Add(400 * time.Millisecond)
	a.call(Fails, false)
	a.h.Completes(taskOf(1), first.Add(time.Millisecond)) // explains the first only
	if at, ok := a.h.AskAt(50); !ok || !at.Equal(a.now.Add(explainAfter)) {
		t.Errorf("whoami is asked at %v, %v", at.Sub(start), ok)
	}
	a.h.Completes(taskOf(1), a.now.Add(time.Millisecond))
	if at, ok := a.h.AskAt(50); ok {
		t.Errorf("whoami is asked at %v although all is explained", at.Sub(start))
	}
}
