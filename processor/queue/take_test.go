package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"verdict/internal/decision"
)

// TestRoomTakesUpToItsBounds: a lane takes items up to both bounds, an empty one any item,
// and the other lane is not concerned.
func TestRoomTakesUpToItsBounds(t *testing.T) {
	const most, bytes = 3, 100
	for _, c := range []struct {
		held []int64
		size int64
		want bool
	}{
		{nil, 1000, true}, {[]int64{1000}, 1, false}, {[]int64{40, 40}, 20, true}, {[]int64{40, 40}, 21, false},
		{[]int64{1, 1}, 1, true}, {[]int64{1, 1, 1}, 1, false}, {[]int64{100}, 0, true},
	} {
		r := NewRoom(most, bytes)
		for _, size := range c.held {
			if !r.Enter(decision.Live, size) {
				t.Fatalf("%v: no room for %d", c.held, size)
			}
		}
		if got := r.Enter(decision.Live, c.size); got != c.want {
			t.Errorf("%v and %d: %v", c.held, c.size, got)
		}
		if !r.Enter(decision.Backfill, 5) || r.Items(decision.Backfill) != 1 || r.Bytes(decision.Backfill) != 5 {
			t.Errorf("%v: the other lane has no room", c.held)
		}
	}
	r := NewRoom(most, bytes)
	r.Enter(decision.Live, 100)
	r.Leave(decision.Live, 100)
	if r.Items(decision.Live) != 0 || r.Bytes(decision.Live) != 0 || !r.Enter(decision.Live, 101) {
		t.Error("what left is still counted")
	}
}

func TestShareSaysWhoseTurnItIs(t *testing.T) {
	for _, c := range []struct {
		owed           float64
		live, backfill bool
		lane           decision.Lane
		ok             bool
	}{
		{0, false, false, decision.Backfill, false}, {0, true, false, decision.Live, true}, {0, false, true, decision.Backfill, true},
		{0.99, true, true, decision.Live, true}, {1, true, true, decision.Backfill, true}, {2, true, false, decision.Live, true},
	} {
		s := Share{min: 0.1, owed: c.owed}
		if lane, ok := s.Next(c.live, c.backfill); lane != c.lane || ok != c.ok {
			t.Errorf("%+v: %v, %v", c, lane, ok)
		}
	}
}

// TestTakeLeastTakesTheLeastAndOldest compares TakeLeast with a search of what is ready,
// and TakeAny with what matches.
func TestTakeLeastTakesTheLeastAndOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, now := New(true), time.Unix(1000, 0)
		keys := make(map[*Item]time.Time)
		var waiting []*Item
		for n := range rapid.IntRange(1, 30).Draw(t, "items") {
			i := newItem(decision.Live, n)
			q.Add(i)
			keys[i] = now.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "key")) * time.Second)
			waiting = append(waiting, i)
		}
		for range rapid.IntRange(0, len(waiting)).Draw(t, "tried") { // those are in another heap
			q.Delay(q.Take(decision.Live), now)
		}
		q.Ripen(now)
		for len(waiting) > 0 {
			var got *Item
			if rapid.Bool().Draw(t, "any") {
				at := rapid.IntRange(0, 4).Draw(t, "of")
				match := func(i *Item) bool { return keys[i].Equal(now.Add(time.Duration(at) * time.Second)) }
				matching := 0
				for _, i := range waiting {
					if match(i) {
						matching++
					}
				}
				got = q.TakeAny(decision.Live, match, func(n int) int {
					if n != matching {
						t.Fatalf("%d match, want %d", n, matching)
					}
					return rapid.IntRange(0, n-1).Draw(t, "pick")
				})
				if (got != nil) != (matching > 0) || got != nil && !match(got) {
					t.Fatalf("took %v, though %d match", got, matching)
				}
				if got == nil {
					continue
				}
			} else {
				got = q.TakeLeast(decision.Live, func(i *Item) time.Time { return keys[i] })
				for _, i := range waiting {
					if c := keys[i].Compare(keys[got]); c < 0 || c == 0 && i.seq < got.seq {
						t.Fatalf("took number %d at %v before number %d at %v", got.seq, keys[got], i.seq, keys[i])
					}
				}
			}
			for at, i := range waiting {
				if i == got {
					waiting = append(waiting[:at:at], waiting[at+1:]...)
					break
				}
			}
			if !q.Busy(got.Task) {
				t.Fatal("the task of an active item is not busy")
			}
			q.Done(got)
			if q.Busy(got.Task) {
				t.Fatal("a task without items is busy")
			}
			if q.Empty() != (len(waiting) == 0) {
				t.Fatalf("empty is %v with %d items", q.Empty(), len(waiting))
			}
		}
	})
}

// TestHastenBringsForwardAndNeverBack: an item is due at the earlier of both times, and the
// earliest item first.
func TestHastenBringsForwardAndNeverBack(t *testing.T) {
	q, now := New(true), time.Unix(1000, 0)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	var items []*Item
	for n := range 4 {
		i := newItem(decision.Live, n)
		q.Add(i)
		items = append(items, q.Take(decision.Live))
	}
	q.Hasten(items[3], at(0)) // it is active, not delayed
	for n, i := range items[:3] {
		q.Delay(i, at(10+10*n))
	}
	q.Hasten(items[0], at(15))
	if next := q.Ripen(now); !next.Equal(at(10)) {
		t.Errorf("put off to %v", next)
	}
	q.Hasten(items[2], at(6))
	q.Hasten(items[2], at(5)) // now it is the first
	if next := q.Ripen(now); !next.Equal(at(5)) {
		t.Errorf("the next is due at %v", next)
	}
	if q.Ready(decision.Live) {
		t.Error("an item is ready that is not due")
	}
	if next := q.Ripen(at(5)); !next.Equal(at(10)) || !q.Ready(decision.Live) || q.Take(decision.Live) != items[2] {
		t.Errorf("not the item that was hastened; the next is due at %v", next)
	}
	if q.Empty() {
		t.Error("empty with delayed items")
	}
	for _, i := range items[2:] {
		q.Done(i)
	}
	q.Ripen(at(100))
	q.Done(q.Take(decision.Live))
	q.Done(q.Take(decision.Live))
	if !q.Empty() {
		t.Error("not empty at the end")
	}
}
