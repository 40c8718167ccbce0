package consumer

import (
	"testing"

	"verdict/internal/decision"

	"pgregory.net/rapid"
)

// naive is a tracker without cleverness: a map.
type naive struct {
	base, next int64
	settled    map[int64]bool
}

func (n *naive) advance() {
	for n.settled[n.base] {
		delete(n.settled, n.base)
		n.base++
	}
	n.next = max(n.next, n.base)
}

func TestTrackerAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.IntRange(1, 200).Draw(t, "span")
		base := rapid.Int64Range(0, 1000).Draw(t, "base")
		tr := newTracker(base, span)
		model := &naive{base: base, next: base, settled: make(map[int64]bool)}
		open := make(map[int64]bool)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "fetch") {
				offset := model.next + int64(rapid.IntRange(0, 3).Draw(t, "gap"))
				if !tr.fits(offset, int64(span)) {
					if len(open) == 0 {
						t.Fatalf("offset %d does not fit, though nothing is open", offset)
					}
					continue
				}
				if tr.track(offset) {
					t.Fatalf("offset %d is settled before it was fetched", offset)
				}
				for gap := model.next; gap < offset; gap++ {
					model.settled[gap] = true
				}
				model.next = offset + 1
				model.advance()
				open[offset] = true
			} else if len(open) > 0 {
				offset := rapid.SampledFrom(keys(open)).Draw(t, "settle")
				if !tr.settle(offset) {
					t.Fatalf("settling %d was no news", offset)
				}
				if tr.settle(offset) {
					t.Fatalf("settling %d twice was news", offset)
				}
				delete(open, offset)
				model.settled[offset] = true
				model.advance()
			}
			if tr.base != model.base {
				t.Fatalf("base %d, want %d", tr.base, model.base)
			}
			for offset := model.base - 2; offset < model.next+2; offset++ {
				want := offset < model.base || model.settled[offset]
				if got := tr.settledAt(offset); got != want {
					t.Fatalf("offset %d settled: %v, want %v", offset, got, want)
				}
			}
		}
	})
}

func keys(m map[int64]bool) []int64 {
	var all []int64
	for k := range m {
		all = append(all, k)
	}
	// rapid wants the same order each time.
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			if all[j] < all[i] {
				all[i], all[j] = all[j], all[i]
			}
		}
	}
	return all
}

func TestMetadataBringsBackWhatWasSettledAndHowFarTheRestGot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.IntRange(1, 3000).Draw(t, "span")
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		tr := newTracker(base, span)
		open := make(map[int64]decision.Progress)
		density := rapid.IntRange(1, 20).Draw(t, "density")
		for offset := base; offset < base+int64(span); offset++ {
			tr.track(offset)
		}
		for i := range span {
			if rapid.IntRange(0, density).Draw(t, "settled") == 0 {
				tr.settle(base + int64(i))
			} else if rapid.IntRange(0, 50).Draw(t, "tried") == 0 {
				open[base+int64(i)] = decision.Progress{Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"), MaybeApplied: rapid.Bool().Draw(t, "maybe applied")}
			}
		}
		for offset := range open {
			if tr.settledAt(offset) {
				delete(open, offset)
			}
		}
		metadata := encodeMetadata(tr, open, defaultMetadataSize)
		if len(metadata) > defaultMetadataSize {
			t.Fatalf("%d bytes", len(metadata))
		}
		got, gotOpen, err := restore(tr.base, metadata, tr.base, span)
		if err != nil {
			t.Fatal(err)
		}
		for offset := tr.base - 1; offset < base+int64(span)+2; offset++ {
			if got.settledAt(offset) != tr.settledAt(offset) {
				t.Fatalf("offset %d settled: %v, want %v", offset, got.settledAt(offset), tr.settledAt(offset))
			}
		}
		if got.base != tr.base {
			t.Fatalf("base %d, want %d", got.base, tr.base)
		}
		for offset, p := range gotOpen {
			if open[offset] != p {
				t.Fatalf("progress of %d: %v, want %v", offset, p, open[offset])
			}
		}
		if len(gotOpen) != len(open) && len(metadata) < defaultMetadataSize-40 {
			t.Fatalf("%d of %d were carried in %d bytes", len(gotOpen), len(open), len(metadata))
		}
	})
}

func TestMetadataThatIsCutShortNeverSaysMoreThanIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := newTracker(100, 5000)
		for offset := int64(100); offset < 5100; offset++ {
			tr.track(offset)
			if rapid.IntRange(0, 2).Draw(t, "settled") > 0 && offset != 100 {
				tr.settle(offset)
			}
		}
		size := rapid.IntRange(0, 700).Draw(t, "size")
		metadata := encodeMetadata(tr, map[int64]decision.Progress{100: {Attempts: 3, MaybeApplied: true}}, size)
		if len(metadata) > size {
			t.Fatalf("%d bytes, the limit is %d", len(metadata), size)
		}
		got, _, err := restore(100, metadata, 100, 5000)
		if err != nil {
			t.Fatal(err)
		}
		for offset := int64(100); offset < 5200; offset++ {
			if got.settledAt(offset) && !tr.settledAt(offset) {
				t.Fatalf("offset %d counts as settled, and is not", offset)
			}
		}
	})
}

func TestTheDefaultSpanAlwaysFitsTheBrokersDefault(t *testing.T) {
	tr := newTracker(0, 20000)
	for offset := range int64(20000) {
		tr.track(offset)
		if offset%2 == 1 { // the worst for run lengths
			tr.settle(offset)
		}
	}
	metadata := encodeMetadata(tr, nil, defaultMetadataSize)
	got, _, err := restore(0, metadata, 0, 20000)
	if err != nil || len(metadata) > defaultMetadataSize {
		t.Fatal(len(metadata), err)
	}
	for offset := range int64(20000) {
		if got.settledAt(offset) != (offset%2 == 1) {
			t.Fatalf("offset %d is %v", offset, got.settledAt(offset))
		}
	}
	if spanThatFits(defaultMetadataSize) < 20000 {
		t.Errorf("the span that fits is %d", spanThatFits(defaultMetadataSize))
	}
}

func TestACompactedTopicMayJumpFarWhereNothingIsOpen(t *testing.T) {
	tr := newTracker(0, 64)
	if !tr.fits(1<<40, 64) || tr.track(1<<40) || tr.base != 1<<40 {
		t.Errorf("base %d", tr.base)
	}
	if tr.fits(1<<41, 64) {
		t.Error("a jump over what is open must wait")
	}
	tr.settle(1 << 40)
	if !tr.fits(1<<41, 64) || tr.track(1<<41) {
		t.Error("nothing is open any more")
	}
}

// TestACompactedTopicMayJumpFarPastWhatTheCommitSaysIsSettled: the open offset
// that the commit knew is gone, and so are many after it.
func TestACompactedTopicMayJumpFarPastWhatTheCommitSaysIsSettled(t *testing.T) {
	const span = 64
	for _, far := range []int64{110, 163, 164, 5000} {
		before, _, err := restore(100, encodeMetadata(settledFrom(100, 101, 105), nil, 4096), 100, span)
		if err != nil {
			t.Fatal(err)
		}
		if !before.fits(far, 8) {
			t.Fatalf("%d does not fit, though nothing is open", far)
		}
		if before.track(far) || before.base != far || before.next != far+1 {
			t.Errorf("%d: base %d, next %d", far, before.base, before.next)
		}
		for offset := far + 1; offset < far+span; offset++ {
			if before.settledAt(offset) || before.track(offset) {
				t.Fatalf("%d was never settled", offset)
			}
		}
	}
}

// settledFrom is a tracker in which some offsets are settled.
func settledFrom(base int64, settled ...int64) *tracker {
	t := newTracker(base, 64)
	for offset := base; offset <= settled[len(settled)-1]; offset++ {
		t.track(offset)
	}
	for _, offset := range settled {
		t.settle(offset)
	}
	return t
}

func TestDeletedRecordsDoNotHideWhatIsSettledBeyondThem(t *testing.T) {
	tr := newTracker(0, 1000)
	for offset := range int64(900) {
		tr.track(offset)
		if offset >= 500 {
			tr.settle(offset)
		}
	}
	got, _, err := restore(0, encodeMetadata(tr, nil, defaultMetadataSize), 400, 100)
	if err != nil {
		t.Fatal(err)
	}
	if got.base != 400 || got.settledAt(499) || !got.settledAt(500) || !got.settledAt(899) || got.settledAt(900) {
		t.Errorf("base %d, top %d", got.base, got.top)
	}
}

func FuzzMetadata(f *testing.F) {
	tr := newTracker(7, 500)
	for offset := int64(7); offset < 507; offset++ {
		tr.track(offset)
		if offset%5 > 1 {
			tr.settle(offset)
		}
	}
	f.Add(encodeMetadata(tr, map[int64]decision.Progress{7: {Attempts: 2, MaybeApplied: true}}, defaultMetadataSize), int64(7))
	f.Add("", int64(0))
	f.Add("v1:", int64(0))
	f.Add("v1:AAAA", int64(0))
	f.Add("v1:Af////8P", int64(0))
	f.Add("someone else's", int64(1<<62))
	f.Fuzz(func(t *testing.T, metadata string, base int64) {
		settled, _, err := decodeMetadata(metadata, base)
		if err != nil {
			return
		}
		if len(settled) > maxRestoredSpan {
			t.Fatalf("%d offsets", len(settled))
		}
		for i, offset := range settled {
			if offset < base || i > 0 && offset <= settled[i-1] {
				t.Fatalf("offset %d after %v, base %d", offset, settled[:i], base)
			}
		}
	})
}

func BenchmarkTracker(b *testing.B) {
	tr := newTracker(0, 20000)
	offset := int64(0)
	for b.Loop() {
		tr.track(offset)
		if offset >= 64 {
			tr.settle((offset - 64) ^ 31) // out of order, by 31 at the most
		}
		offset++
	}
}

func BenchmarkMetadata(b *testing.B) {
	tr := newTracker(0, 20000)
	for offset := range int64(20000) {
		tr.track(offset)
		if offset%3 != 0 {
			tr.settle(offset)
		}
	}
	size := 0
	for b.Loop() {
		size = len(encodeMetadata(tr, nil, defaultMetadataSize))
	}
	b.ReportMetric(float64(size), "bytes")
}
