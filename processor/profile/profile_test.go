package profile

import (
	"slices"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// result is a result that waits.
type result struct {
	name     string
	lane     decision.Lane
	draining bool
}

func (r *result) Lane() decision.Lane { return r.lane }
func (r *result) Bytes() int          { return len(r.name) }
func (r *result) Draining() bool      { return r.draining }

// world is Reviews with a clock.
type world struct {
	t *testing.T
	*Reviews[*result]
	now   time.Time
	tasks int // of the profile, with decisions that are not gone
	around
}

type around struct{ full, blocked bool }

func newWorld(t *testing.T) *world {
	return &world{t: t, Reviews: New[*result](), now: time.Unix(1000, 0)}
}

func (w *world) due() (late []*result, next time.Time) {
	return w.Due(w.now, Surroundings{Tasks: func(string) int { return w.tasks }, Full: w.full, Blocked: w.blocked})
}

// hold holds a result of a decision on a task of its own.
func (w *world) hold(name string) *result {
	r := &result{name: name}
	w.Hold("p", r, true, w.now)
	return r
}

// wantReadyAfter lets time pass until a review is ready, and wants it to take d.
func (w *world) wantReadyAfter(d time.Duration) {
	w.t.Helper()
	began := w.now
	for !w.Ready(decision.Live) {
		late, next := w.due()
		if len(late) > 0 || !next.After(w.now) || next.Sub(began) > time.Hour {
			w.t.Fatalf("after %v: %d results are late, next %v", w.now.Sub(began), len(late), next.Sub(began))
		}
		if !w.Ready(decision.Live) {
			w.now = next
		}
	}
	if took := w.now.Sub(began); took != d {
		w.t.Errorf("the review was ready after %v, want %v", took, d)
	}
}

func (w *world) wantEmpty(decisions int) {
	w.t.Helper()
	for range decisions {
		if w.Empty() {
			w.t.Fatal("a decision that keeps its task is forgotten")
		}
		w.Leave("p")
	}
	if !w.Empty() {
		w.t.Error("something is still known of the profile")
	}
}

func TestQuietProfileIsReviewedOnceForABurst(t *testing.T) {
	w := newWorld(t)
	w.tasks = 1
	a := w.hold("a")
	w.due()
	w.now = w.now.Add(50 * time.Millisecond)
	if w.due(); w.Ready(decision.Live) {
		t.Error("reviewed within a burst")
	}
	w.tasks = 2
	b := w.hold("b")
	w.wantReadyAfter(linger)
	v := w.Begin(decision.Live)
	w.Collect(v)
	c := w.hold("c") // since the call was made
	if got := w.End(v, w.now); !slices.Equal(got, []*result{a, b}) || w.Active(v) {
		t.Errorf("%d results ended with the first review, want a and b; it is active: %v", len(got), w.Active(v))
	}
	w.wantReadyAfter(linger)
	first := v
	v = w.Begin(decision.Live)
	if w.Active(first) || !w.Active(v) {
		t.Error("the active review is not the second one")
	}
	w.Collect(v)
	if got := w.End(v, w.now); !slices.Equal(got, []*result{c}) {
		t.Errorf("%d results ended with the second review, want c", len(got))
	}
	w.wantEmpty(3)
}

func TestBusyProfileIsReviewedAfterMaxWait(t *testing.T) {
	w := newWorld(t)
	w.tasks = 9
	w.hold("a")
	w.wantReadyAfter(maxWait)
}

func TestFullProcessorIsReviewedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.tasks, w.full = 9, true
	w.hold("a")
	w.wantReadyAfter(0)
}

func TestReviewThatIsNotMadeEndsAfterMaxLife(t *testing.T) {
	w := newWorld(t)
	w.tasks = 1
	a := w.hold("a")
	w.wantReadyAfter(linger)
	w.now = w.now.Add(maxWait + maxLife)
	if late, _ := w.due(); !slices.Equal(late, []*result{a}) || w.Ready(decision.Live) {
		t.Errorf("%d results are late, review still ready: %v", len(late), w.Ready(decision.Live))
	}
	w.wantEmpty(1)
}

func TestFailedReviewIsReadyAgainWhenDue(t *testing.T) {
	w := newWorld(t)
	w.tasks = 1
	a := w.hold("a")
	w.wantReadyAfter(linger)
	v := w.Begin(decision.Live)
	w.Collect(v)
	if !w.MayRetry(v) {
		t.Fatal("it may not be retried")
	}
	v.Attempts++
	due := w.now.Add(2 * time.Second)
	w.Again(v, due)
	if next := w.Ripen(w.now); w.Ready(decision.Live) || !next.Equal(due) {
		t.Errorf("ready %v, next %v, want %v", w.Ready(decision.Live), next, due)
	}
	if next := w.Ripen(due); !w.Ready(decision.Live) || !next.IsZero() || w.Begin(decision.Live) != v {
		t.Error("it is not ready when it is due")
	}
	if w.Ripen(due); w.Ready(decision.Live) {
		t.Error("it is ready twice")
	}
	b := w.hold("b")
	w.Again(v, due.Add(time.Hour))
	w.now = w.now.Add(maxWait + maxLife)
	if late, _ := w.due(); !slices.Equal(late, []*result{a, b}) {
		t.Errorf("%d results are late, want all", len(late))
	}
	w.wantEmpty(2)
}

// TestResultWithoutATaskLeavesNothing: its decision was gone or held before.
func TestResultWithoutATaskLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.full = true
	w.Hold("p", &result{name: "a"}, false, w.now)
	w.due()
	v := w.Begin(decision.Live)
	w.Collect(v)
	w.End(v, w.now)
	w.wantEmpty(0)
}

func TestDrainingProfileWaitsForNoBlockedReview(t *testing.T) {
	for name, blocked := range map[string]bool{"calls go": false, "calls are blocked": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tasks, w.blocked = 9, blocked
			a := w.hold("a")
			a.draining = true
			late, _ := w.due()
			if blocked != (len(late) == 1) || blocked == w.Ready(decision.Live) {
				t.Errorf("%d results are late, ready %v", len(late), w.Ready(decision.Live))
			}
		})
	}
}

func TestDrainingProfileRetriesNoReview(t *testing.T) {
	w := newWorld(t)
	a := w.hold("a")
	a.draining = true
	w.due()
	v := w.Begin(decision.Live)
	w.Collect(v)
	if w.MayRetry(v) {
		t.Error("a review may be retried while a drain waits for it")
	}
}

func TestFlushReleasesWhatDrainsAndAbortsCalls(t *testing.T) {
	w := newWorld(t)
	w.full = true
	a, other := w.hold("a"), &result{name: "other"}
	w.Hold("q", other, true, w.now)
	w.due()
	first := w.Begin(decision.Live)
	w.Collect(first)
	held := &result{name: "held", draining: true}
	w.Hold("r", held, true, w.now)
	a.draining, other.draining = true, true
	results, working := w.Flush(w.now)
	if len(working) != 1 || working[0] != first || len(results) != 2 || slices.Contains(results, a) == (first.ProfileID == "p") {
		t.Errorf("%d results, %d reviews to abort", len(results), len(working))
	}
}

func TestReviewBelongsToTheMostUrgentLane(t *testing.T) {
	w := newWorld(t)
	w.full = true
	w.Hold("p", &result{lane: decision.Backfill}, true, w.now)
	w.Hold("p", &result{lane: decision.Live}, true, w.now)
	if w.due(); !w.Ready(decision.Live) || w.Ready(decision.Backfill) {
		t.Error("the review is not live's")
	}
}

func TestOutcomeOfAProfilesTasks(t *testing.T) {
	pass, fail, open := passfort.Task{State: decision.CompletedPass}, passfort.Task{State: decision.CompletedFail}, passfort.Task{State: decision.Incomplete}
	unknown := passfort.Task{State: "SOMETHING_ELSE"}
	expired, skipped := passfort.Task{State: decision.CompletedFail, IsExpired: true}, passfort.Task{State: decision.Incomplete, IsSkipped: true}
	for name, c := range map[string]struct {
		tasks []passfort.Task
		want  decision.Profile
	}{
		"none":                 {nil, decision.Profile{Outcome: decision.Open}},
		"all passed":           {[]passfort.Task{pass, pass, expired, skipped}, decision.Profile{Outcome: decision.AllPassed}},
		"one open":             {[]passfort.Task{pass, open}, decision.Profile{Outcome: decision.Open, OpenTasks: 1}},
		"one unknown":          {[]passfort.Task{pass, unknown}, decision.Profile{Outcome: decision.Open, OpenTasks: 1}},
		"one failed, one open": {[]passfort.Task{pass, fail, open}, decision.Profile{Outcome: decision.SomeFailed, OpenTasks: 1, FailedTasks: 1}},
		"only skipped":         {[]passfort.Task{skipped}, decision.Profile{Outcome: decision.Open}},
	} {
		if got := *Outcome(c.tasks); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
