package offsets

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// million is the default of kafka.max_uncommitted.
const million = 1_000_000

// Whatever settles in whichever order, all of it is carried over a restart, and
// work goes on: if nothing fits, something that was fetched is open.
func TestNothingSettledIsForgottenAtARestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(16, 80).Draw(t, "size") // small, so that the bound is met often
		span := rapid.Int64Range(1, 3000).Draw(t, "span")
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		tr := NewTracker(base)
		settled := make(map[int64]bool) // or never there
		open := make(map[int64]bool)
		end := base // of what was fetched before the last restart
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // restart
				tr = checkRestores(t, tr, size)
				clear(open)
			case 1, 2, 3, 4: // fetch
				for range rapid.IntRange(1, 200).Draw(t, "fetch") {
					offset := tr.Next()
					if offset >= end && rapid.IntRange(0, 9).Draw(t, "compacted") == 0 {
						offset += rapid.Int64Range(1, 300).Draw(t, "gap")
					}
					if !tr.Fits(offset, span, size) {
						if len(open) == 0 {
							t.Fatalf("offset %d does not fit, though nothing is open", offset)
						}
						if offset < end && offset < tr.Base()+span {
							t.Fatalf("offset %d does not fit, though it did before the restart", offset)
						}
						break
					}
					for gap := tr.Next(); gap < offset; gap++ {
						settled[gap] = true
					}
					if got := tr.Track(offset); got != settled[offset] {
						t.Fatalf("offset %d was settled: %v, want %v", offset, got, settled[offset])
					}
					if !settled[offset] {
						open[offset] = true
					}
					end = max(end, offset+1)
				}
			default: // settle, in runs or with holes
				all := slices.Sorted(maps.Keys(open))
				from := rapid.IntRange(0, len(all)).Draw(t, "from")
				step := rapid.SampledFrom([]int{1, 1, 2, 2, 3, 7}).Draw(t, "step width")
				for i := from; i < min(len(all), from+rapid.IntRange(0, 300).Draw(t, "offsets")); i += step {
					tr.Settle(all[i])
					delete(open, all[i])
					settled[all[i]] = true
				}
			}
			checkRestores(t, tr, size)
		}
	})
}

// The head waits for hours, and a thousand others with it, while a million behind
// them settle a little out of order.
func TestSlowDecisionsHoldNothingBack(t *testing.T) {
	for _, slow := range []int64{million, 1000} { // one in so many
		tr := NewTracker(0)
		for offset := range int64(million) {
			if !tr.Fits(offset, million, DefaultMetadataSize) {
				t.Fatalf("1 in %d is slow: %d does not fit, %d bytes of metadata", slow, offset, len(Encode(tr, nil, DefaultMetadataSize)))
			}
			tr.Track(offset)
			if done := (offset - 64) ^ 31; done >= 0 && done%slow != 0 {
				tr.Settle(done)
			}
		}
		if tr.Base() != 0 {
			t.Fatalf("base %d, want 0", tr.Base())
		}
		checkRestores(t, tr, DefaultMetadataSize)
		if tr.Fits(million, million, DefaultMetadataSize) {
			t.Error("the span is not held back at its limit")
		}
	}
}

// Every other one is slow: no run lengths carry that, so what a bitmap carries is
// the limit, until enough of them settle.
func TestEveryOtherOneSlowIsHeldBackAtWhatFits(t *testing.T) {
	tr := NewTracker(0)
	offset := int64(0)
	for ; tr.Fits(offset, million, DefaultMetadataSize); offset++ {
		tr.Track(offset)
		if offset%2 == 1 {
			tr.Settle(offset)
		}
	}
	if want := SpanThatFits(DefaultMetadataSize); offset != want {
		t.Errorf("held back at %d, want %d", offset, want)
	}
	checkRestores(t, tr, DefaultMetadataSize)
	for slow := int64(2); !tr.Fits(offset, million, DefaultMetadataSize); slow += 2 {
		if slow >= offset {
			t.Fatal("held back for good, though only the head is open")
		}
		tr.Settle(slow)
	}
	if tr.Base() != 0 || tr.Track(offset) {
		t.Errorf("base %d, want 0 and %d to be open", tr.Base(), offset)
	}
	checkRestores(t, tr, DefaultMetadataSize)
}

// A long run behind a slow head leaves room for this many offsets that may settle
// in the worst order, to the byte; less where records are missing between them.
func TestFetchedOffsetsFitHoweverTheySettle(t *testing.T) {
	for _, step := range []int64{1, 200} {
		for size := 100; size < 108; size++ {
			const base, tip = 7000, 12_000
			tr := NewTracker(base)
			tr.Track(base)
			tr.Track(tip) // a gap counts as settled
			last := int64(tip)
			for tr.Fits(last+step, million, size) {
				last += step
				tr.Track(last)
			}
			for offset := int64(tip + 1); step == 1 && offset <= last; offset += 2 {
				tr.Settle(offset)
			}
			checkRestores(t, tr, size)
			set, _ := encodeRuns(tr, million)
			if spare := setSize(size) - len(set); spare > int(min(step, 2)) {
				t.Errorf("size %d, every %d: %d bytes are left in the worst case", size, step, spare)
			}
		}
	}
}

// The next owner tracks what an earlier one had tracked, though what lies between
// was settled only by it.
func TestRestoredOffsetsFitAgain(t *testing.T) {
	const size = 100
	tr := NewTracker(0)
	tr.Track(0)
	tr.Track(5000)
	for tr.Fits(tr.Next(), million, size) {
		tr.Track(tr.Next())
	}
	tr.Settle(tr.Next() - 1)
	end := tr.Next()
	for tr = checkRestores(t, tr, size); tr.Next() < end; {
		if !tr.Fits(tr.Next(), million, size) {
			t.Fatalf("%d does not fit; it did before the restart", tr.Next())
		}
		tr.Track(tr.Next())
	}
	if tr.Fits(end+1, million, size) {
		t.Error("more than before fits")
	}
}

// Without room for metadata a restart forgets, but work goes on.
func TestSomeOffsetsFitWithoutMetadata(t *testing.T) {
	const base = 1000
	tr := NewTracker(base)
	offset := int64(base)
	for ; tr.Fits(offset, million, 0); offset++ {
		tr.Track(offset)
	}
	if offset != base+64 {
		t.Errorf("%d offsets fit, want 64", offset-base)
	}
}
