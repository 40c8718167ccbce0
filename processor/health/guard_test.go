package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

var batch = Group{Lane: decision.Backfill, Batch: "b"}

// blame blames decision n of a batch, which failed just before.
func blame(g *Guard, n int, now time.Time) (may, holds bool) {
	g.Arrives(batch, taskOf(n).ProfileID, now)
	return g.Blames(batch, taskOf(n), now.Add(-1), now)
}

func TestGuardHoldsABatchThatIsRefused(t *testing.T) {
	g := NewGuard(20)
	now := start
	for n := range 20 {
		g.Arrives(batch, fmt.Sprint("p", n%7), now)
	}
	for n := range 19 {
		if may, holds := g.Blames(batch, decision.Task{ProfileID: fmt.Sprint("p", n%7), TaskID: fmt.Sprint(n)}, now, now.Add(1)); !may || holds {
			t.Fatalf("decision %d: may %v, holds %v", n, may, holds)
		}
		// A repeat of the same task is no other task.
		g.Blames(batch, decision.Task{ProfileID: fmt.Sprint("p", n%7), TaskID: fmt.Sprint(n)}, now, now.Add(1))
	}
	last := decision.Task{ProfileID: "p0", TaskID: "last"}
	if may, holds := g.Blames(batch, last, now, now.Add(1)); !may || !holds || !g.Held(batch) {
		t.Fatalf("the twentieth: may %v, holds %v", may, holds)
	}
	if may, _ := g.Blames(batch, decision.Task{TaskID: "another"}, now, now.Add(1)); may {
		t.Error("a decision of a held batch is dead-lettered")
	}
	if !g.AnyHeld(decision.Backfill) || g.AnyHeld(decision.Live) || g.Held(Group{Lane: decision.Backfill}) {
		t.Error("what is held is not the batch alone")
	}
	if !g.Completes(batch, now) || g.Held(batch) || g.AnyHeld(decision.Backfill) || g.held != 0 || g.Completes(batch, now) || g.Completes(Group{}, now) {
		t.Error("a completion does not end the hold, once")
	}
}

func TestGuardWaitsForFiveProfiles(t *testing.T) {
	g := NewGuard(20)
	for n := range 60 { // ten tasks of each profile
		g.Arrives(batch, taskOf(n).ProfileID, start)
	}
	for n := range 60 {
		_, holds := blame(g, n, start)
		if want := n == 40; holds != want { // the first of the fifth profile
			t.Fatalf("decision %d: holds %v", n, holds)
		} else if holds {
			return
		}
	}
	t.Error("never held")
}

func TestGuardOfABatchWithOneProfile(t *testing.T) {
	g := NewGuard(3)
	for n := range 3 {
		if _, holds := blame(g, n, start); holds != (n == 2) {
			t.Errorf("decision %d: holds %v", n, holds)
		}
	}
}

func TestGuardCountsFromTheLastCompletion(t *testing.T) {
	g := NewGuard(3)
	blame(g, 0, start)
	blame(g, 1, start)
	g.Completes(batch, start.Add(time.Second))
	// These failed before the completion.
	for n := range 10 {
		if may, holds := g.Blames(batch, taskOf(n), start, start.Add(2*time.Second)); !may || holds {
			t.Fatalf("decision %d: may %v, holds %v", n, may, holds)
		}
	}
	for n := range 3 {
		if _, holds := blame(g, n, start.Add(3*time.Second)); holds != (n == 2) {
			t.Errorf("decision %d after the completion: holds %v", n, holds)
		}
	}
}

func TestGuardOfSizeZeroHoldsNothing(t *testing.T) {
	g := NewGuard(0)
	for n := range 100 {
		if may, holds := blame(g, n, start); !may || holds {
			t.Fatal("held")
		}
	}
}

func TestGuardProbesItsProfilesInTurn(t *testing.T) {
	g := NewGuard(1)
	if _, holds := blame(g, 1, start); !holds {
		t.Fatal("not held")
	}
	if due, next := g.Due(start); len(due) != 0 || !next.Equal(start.Add(guardProbe)) {
		t.Fatalf("due %v, next %v", due, next)
	}
	now := start.Add(guardProbe)
	if due, _ := g.Due(now); !slices.Equal(due, []Group{batch}) {
		t.Fatalf("due %v", due)
	}
	if _, ok := g.Probe(batch, nil, now); ok {
		t.Fatal("a probe although none waits")
	}
	if due, next := g.Due(now); len(due) != 0 || !next.Equal(now.Add(time.Second)) {
		t.Fatalf("due %v, next %v, although nothing waited just now", due, next)
	}
	var turns []string
	for range 5 {
		now = now.Add(guardProbe)
		p, ok := g.Probe(batch, []string{"c", "a", "b", "a"}, now)
		if _, again := g.Probe(batch, []string{"c", "a", "b"}, now); !ok || again {
			t.Fatalf("ok %v, twice %v", ok, again)
		}
		turns = append(turns, p)
	}
	if want := []string{"a", "b", "c", "a", "b"}; !slices.Equal(turns, want) {
		t.Errorf("probed %v, want %v", turns, want)
	}
	if _, ok := g.Probe(Group{}, []string{"a"}, now.Add(time.Hour)); ok {
		t.Error("a probe of a group that is not held")
	}
}

func TestGuardForgetsTheGroupNotHeardOfForLongest(t *testing.T) {
	g := NewGuard(1)
	held := Group{Batch: "held"}
	g.Arrives(held, "p", start)
	if _, holds := g.Blames(held, taskOf(1), start, start.Add(1)); !holds {
		t.Fatal("not held")
	}
	for n := range 3 * maxGroups {
		g.Arrives(Group{Batch: fmt.Sprint(n)}, "p", start.Add(time.Duration(n+1)*time.Second))
	}
	if len(g.groups) != maxGroups || !g.Held(held) {
		t.Errorf("%d groups, the held one is held: %v", len(g.groups), g.Held(held))
	}
	for n := range maxGroups - 1 {
		if of := (Group{Batch: fmt.Sprint(3*maxGroups - 1 - n)}); g.groups[of] == nil {
			t.Fatalf("group %v is forgotten", of)
		}
	}
	for n := range 2 * maxGroups { // all held
		of := Group{Batch: fmt.Sprint("h", n)}
		g.Arrives(of, "p", start.Add(time.Duration(n)*time.Minute))
		g.Blames(of, taskOf(1), start, start.Add(1))
	}
	if len(g.groups) != maxGroups || g.held != maxGroups {
		t.Errorf("%d groups, %d held", len(g.groups), g.held)
	}
}

// TestGuardHoldsExactlyWhatTheRuleSays compares it with the rule, written down again
// over the whole history.
func TestGuardHoldsExactlyWhatTheRuleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		g := NewGuard(size)
		seen, refused, of := map[string]bool{}, map[decision.Task]bool{}, map[string]bool{}
		held := false
		now, doneAt := start, time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Second)
			task := decision.Task{ProfileID: fmt.Sprint("p", rapid.IntRange(0, 6).Draw(t, "profile")), TaskID: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "task"))}
			g.Arrives(batch, task.ProfileID, now)
			seen[task.ProfileID] = true
			if rapid.IntRange(0, 9).Draw(t, "completes") == 0 {
				if ends := g.Completes(batch, now); ends != held {
					t.Fatalf("ends %v, held %v", ends, held)
				}
				held, doneAt = false, now
				clear(refused)
				clear(of)
				continue
			}
			failedAt := now.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "failed for")) * time.Second)
			may, holds := g.Blames(batch, task, failedAt, now)
			wantMay, wantHolds := !held, false
			if !held && failedAt.After(doneAt) {
				refused[task], of[task.ProfileID] = true, true
				wantHolds = len(refused) >= size && len(of) >= min(guardProfiles, len(seen))
				held = wantHolds
			}
			if may != wantMay || holds != wantHolds || g.Held(batch) != held {
				t.Fatalf("may %v, holds %v, held %v; want %v, %v, %v", may, holds, g.Held(batch), wantMay, wantHolds, held)
			}
		}
	})
}
