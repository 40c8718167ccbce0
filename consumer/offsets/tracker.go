// Package offsets tracks which offsets of one partition are settled, and
// encodes that in the metadata of a commit.
//
// A Tracker takes offsets that settle in any order and says which one can be
// committed: the end of the contiguous prefix. Encode writes what is settled
// beyond that offset, and how far the unsettled decisions got, into the
// commit's metadata; Restore builds a Tracker from it, so that a restart or a
// rebalance repeats nothing.
//
// The metadata has a fixed size, so a Tracker takes a new offset only if
// everything settled would still fit, whichever of the fetched offsets settle
// next (Fits). Long runs cost a few bytes each: one offset that stays open for
// hours stops nothing, while a set full of holes is held back at what a bitmap
// can carry.
//
// The package is pure: no lock, no goroutine, no clock, no Kafka. Locking,
// waiting for room and sending commits are left to package consumer.
package offsets

import (
	"math/bits"
	"slices"
	"sort"
)

// Run is a range of settled offsets, from From up to but not including To.
type Run struct{ From, To int64 }

// size returns the number of offsets in the run.
func (r Run) size() int64 { return r.To - r.From }

// Tracker records which offsets of one partition are settled. Its memory grows
// with the number of runs, not with their lengths.
//
//	      base                  next              top
//	───────┼──────────────────────┼────────────────┼───────
//	settled│ fetched, some settled│ not yet fetched│ unknown
//	       │                      │ (some settled, │
//	       │                      │  by metadata)  │
//
// It is not safe for concurrent use.
type Tracker struct {
	base int64 // every offset below is settled: the offset to commit
	next int64 // the next offset to fetch
	runs []Run // what is settled beyond base, in order; between two runs something is not

	settled int64 // offsets in runs
	width   int64 // bytes of the runs' lengths as uvarints
}

// NewTracker returns a Tracker that begins at base.
func NewTracker(base int64) *Tracker { return &Tracker{base: base, next: base} }

// Base returns the offset to commit: every offset below it is settled.
func (t *Tracker) Base() int64 { return t.base }

// Next returns the next offset to fetch.
func (t *Tracker) Next() int64 { return t.next }

// Top returns the end of what is settled.
func (t *Tracker) Top() int64 {
	if len(t.runs) == 0 {
		return t.base
	}
	return t.runs[len(t.runs)-1].To
}

// Fits reports whether offset can be tracked: it lies within span of the base,
// and metadata of size bytes will carry everything that is settled then and
// later, until the next offset is tracked. One that does not fit has to wait
// until something settles. When nothing that was fetched is unsettled, any
// offset fits: a compacted topic may jump by millions.
//
// A bitmap carries any pattern of as many offsets as it has bits. Run lengths
// never need more than the bytes of the settled runs and one byte for each
// unsettled offset: an offset that settles gives back its byte, and a settled
// run that it begins or extends grows by at most that one.
func (t *Tracker) Fits(offset, span int64, size int) bool {
	if t.base >= t.next {
		return true
	}
	if offset-t.base >= span {
		return false
	}
	end := max(t.next, t.Top())
	if offset < end || offset-t.base < SpanThatFits(size) {
		return true
	}
	unsettled := end - t.base - t.settled
	return unsettled+1+t.width+uvarintSize(offset-end) <= int64(setSize(size))
}

// Track records that offset was fetched, and reports whether it is settled
// already. Offsets between the previous one and this one do not exist
// (compaction, markers of transactions) and count as settled. The offset must
// fit.
func (t *Tracker) Track(offset int64) (settled bool) {
	t.Pass(offset)
	t.next = max(t.next, offset+1)
	return t.Settled(offset)
}

// Pass records that no offset before next exists that was not fetched. next must fit.
func (t *Tracker) Pass(next int64) {
	t.add(t.next, next)
	t.next = max(t.next, next)
}

// Settle records that offset, which was fetched, is settled, and reports whether
// that was new.
func (t *Tracker) Settle(offset int64) bool {
	if offset >= t.next || t.Settled(offset) {
		return false
	}
	t.add(offset, offset+1)
	return true
}

// Settled reports whether offset is settled.
func (t *Tracker) Settled(offset int64) bool {
	return t.SettledUntil(offset) > offset
}

// SettledUntil returns the first offset from offset on that is not settled.
func (t *Tracker) SettledUntil(offset int64) int64 {
	offset = max(offset, t.base)
	if i := t.firstEndingAt(offset + 1); i < len(t.runs) && t.runs[i].From <= offset {
		return t.runs[i].To
	}
	return offset
}

// Unsettled returns the number of offsets below end that are not settled.
func (t *Tracker) Unsettled(end int64) int64 {
	end = max(end, t.base)
	n := end - t.base - t.settled
	for _, run := range slices.Backward(t.runs) {
		if run.To <= end {
			break
		}
		n += run.To - max(run.From, end)
	}
	return n
}

// firstEndingAt returns the index of the first run that ends at offset or later.
func (t *Tracker) firstEndingAt(offset int64) int {
	return sort.Search(len(t.runs), func(i int) bool { return t.runs[i].To >= offset })
}

// add settles the offsets of a range that ends before to, and moves base
// past what is settled from there on.
func (t *Tracker) add(from, to int64) {
	from = max(from, t.base)
	if from >= to {
		return
	}
	first := t.firstEndingAt(from)
	end := first
	for ; end < len(t.runs) && t.runs[end].From <= to; end++ {
		joined := t.runs[end]
		from, to = min(from, joined.From), max(to, joined.To)
		t.settled -= joined.size()
		t.width -= uvarintSize(joined.size())
	}
	if from == t.base {
		t.runs = slices.Delete(t.runs, first, end)
		t.base, t.next = to, max(t.next, to)
		return
	}
	t.runs = slices.Replace(t.runs, first, end, Run{from, to})
	t.settled += to - from
	t.width += uvarintSize(to - from)
}

// uvarintSize returns the number of bytes of n as a uvarint; 0 for 0.
func uvarintSize(n int64) int64 { return int64(bits.Len64(uint64(n))+6) / 7 }
