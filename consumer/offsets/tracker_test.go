package offsets

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// mapTracker is the simplest tracker that could work: a map.
type mapTracker struct {
	base, next int64
	settled    map[int64]bool
}

func (m *mapTracker) advance() {
	for m.settled[m.base] {
		delete(m.settled, m.base)
		m.base++
	}
	m.next = max(m.next, m.base)
}

func TestTrackerAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.IntRange(1, 200).Draw(t, "span")
		base := rapid.Int64Range(0, 1000).Draw(t, "base")
		tr := NewTracker(base)
		model := &mapTracker{base: base, next: base, settled: make(map[int64]bool)}
		open := make(map[int64]bool)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "fetch") {
				offset := model.next + int64(rapid.IntRange(0, 3).Draw(t, "gap"))
				if !tr.Fits(offset, int64(span), DefaultMetadataSize) {
					if len(open) == 0 {
						t.Fatalf("offset %d does not fit, though nothing is open", offset)
					}
					continue
				}
				if tr.Track(offset) {
					t.Fatalf("offset %d is settled before it was fetched", offset)
				}
				for gap := model.next; gap < offset; gap++ {
					model.settled[gap] = true
				}
				model.next = offset + 1
				model.advance()
				open[offset] = true
			} else if len(open) > 0 {
				offset := rapid.SampledFrom(slices.Sorted(maps.Keys(open))).Draw(t, "settle")
				if !tr.Settle(offset) {
					t.Fatalf("Settle(%d) = false for an open offset", offset)
				}
				if tr.Settle(offset) {
					t.Fatalf("Settle(%d) = true for a settled offset", offset)
				}
				delete(open, offset)
				model.settled[offset] = true
				model.advance()
			}
			if tr.Base() != model.base || tr.Next() != model.next {
				t.Fatalf("base %d, next %d, want %d and %d", tr.Base(), tr.Next(), model.base, model.next)
			}
			unsettled := int64(0)
			for offset := model.base - 2; offset < model.next+2; offset++ {
				want := offset < model.base || model.settled[offset]
				if got := tr.Settled(offset); got != want {
					t.Fatalf("Settled(%d) = %v, want %v", offset, got, want)
				}
				if got := tr.Unsettled(offset); got != unsettled {
					t.Fatalf("Unsettled(%d) = %d, want %d", offset, got, unsettled)
				}
				if !want {
					unsettled++
				}
			}
		}
	})
}

func TestTrackerJumpsFarWhenNothingIsOpen(t *testing.T) {
	tr := NewTracker(0)
	if !tr.Fits(1<<40, 64, DefaultMetadataSize) || tr.Track(1<<40) || tr.Base() != 1<<40 {
		t.Errorf("base %d, want %d", tr.Base(), int64(1)<<40)
	}
	if tr.Fits(1<<41, 64, DefaultMetadataSize) {
		t.Error("a jump past an open offset fits; it must wait")
	}
	tr.Settle(1 << 40)
	if !tr.Fits(1<<41, 64, DefaultMetadataSize) || tr.Track(1<<41) {
		t.Error("a jump does not fit, though nothing is open")
	}
}

// The offset that was open at the commit was compacted away, and so were many
// after it.
func TestTrackerJumpsFarPastRestoredOffsets(t *testing.T) {
	for _, far := range []int64{110, 163, 164, 5000} {
		tr, _, err := Restore(100, Encode(trackerWith(100, 101, 105), nil, 4096), 100)
		if err != nil {
			t.Fatal(err)
		}
		if !tr.Fits(far, 8, DefaultMetadataSize) {
			t.Fatalf("%d does not fit, though nothing is open", far)
		}
		if tr.Track(far) || tr.Base() != far || tr.Next() != far+1 {
			t.Errorf("%d: base %d, next %d", far, tr.Base(), tr.Next())
		}
		for offset := far + 1; offset < far+64; offset++ {
			if tr.Settled(offset) || tr.Track(offset) {
				t.Fatalf("%d counts as settled, but never was", offset)
			}
		}
	}
}

func TestTrackerSettlesOnlyWhatWasFetched(t *testing.T) {
	tr := NewTracker(5)
	tr.Track(5)
	if tr.Settle(4) || tr.Settle(6) || tr.Base() != 5 || tr.Next() != 6 {
		t.Errorf("base %d, next %d", tr.Base(), tr.Next())
	}
}

// trackerWith returns a Tracker from base on in which some offsets are settled.
func trackerWith(base int64, settled ...int64) *Tracker {
	t := NewTracker(base)
	for offset := base; offset <= settled[len(settled)-1]; offset++ {
		t.Track(offset)
	}
	for _, offset := range settled {
		t.Settle(offset)
	}
	return t
}
