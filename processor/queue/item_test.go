package queue

import (
	"testing"
	"time"

	"verdict/internal/decision"
)

func TestTurnFollowsAnItemThroughItsLife(t *testing.T) {
	q, start := New(false), time.Unix(0, 0)
	want := func(i *Item, turn Turn) {
		t.Helper()
		if got, _ := i.Turn(); got != turn {
			t.Errorf("turn %d, want %d", got, turn)
		}
	}
	first, second := newItem(decision.Live, 1), newItem(decision.Backfill, 1)
	want(first, Outside)
	q.Add(first)
	q.Add(second)
	want(first, Ready)
	want(second, BehindTask)
	q.Take(decision.Live)
	want(first, Taken)
	q.Delay(first, start.Add(time.Second))
	if turn, due := first.Turn(); turn != Delayed || !due.Equal(start.Add(time.Second)) {
		t.Errorf("turn %d, due %v", turn, due)
	}
	want(second, BehindTask)
	q.Ripen(start.Add(time.Second))
	want(first, Ready)
	q.Take(decision.Live)
	q.Done(first)
	want(first, Outside)
	want(second, Ready)

	lookup, behind := newItem(decision.Live, 2), newItem(decision.Live, 3)
	lookup.Task.TaskID = ""
	q.Add(lookup)
	q.Add(behind)
	want(lookup, Ready)
	want(behind, BehindGate)
	q.Take(decision.Live)
	want(lookup, Taken)
	q.Delay(lookup, start)
	want(lookup, Delayed)
	q.Ripen(start)
	q.Take(decision.Live)
	q.Move(lookup, "2")
	want(lookup, Ready)
	want(behind, Ready)
}
