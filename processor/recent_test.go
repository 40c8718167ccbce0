package processor

import (
	"fmt"
	"testing"
)

func TestRecentRemembersTheLastTenThousandIDs(t *testing.T) {
	r := newRecent()
	for i := range 25_000 {
		r.add(fmt.Sprint(i))
		r.add(fmt.Sprint(i)) // twice is once
	}
	for i := range 25_000 {
		if got, want := r.has(fmt.Sprint(i)), i >= 15_000; got != want {
			t.Fatalf("%d: %v, want %v", i, got, want)
		}
	}
	if len(r.known) != recentSize || len(r.ring) != recentSize {
		t.Errorf("%d known, %d in the ring", len(r.known), len(r.ring))
	}
}
