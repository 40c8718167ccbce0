// Package offsets tracks which offsets of one partition are settled, and
// encodes that in the metadata of a commit.
//
// A Tracker takes offsets that settle in any order and says which one can be
// committed: the end of the contiguous prefix. Encode writes what is settled
// beyond that offset, and how far the unsettled decisions got, into the
// commit's metadata; Restore builds a Tracker from it, so that a restart or a
// rebalance repeats nothing.
//
// The package is pure: no lock, no goroutine, no clock, no Kafka. Locking,
// waiting for room and sending commits are left to package consumer.
package offsets

import "math/bits"

// Tracker records which offsets of one partition are settled. It costs one bit
// for each offset of its span, whatever the records behind them hold.
//
//	      base                  next              top
//	───────┼──────────────────────┼────────────────┼───────
//	settled│ fetched, some settled│ not yet fetched│ unknown
//	       │                      │ (some settled, │
//	       │                      │  by metadata)  │
//
// It is not safe for concurrent use.
type Tracker struct {
	base  int64    // every offset below is settled: the offset to commit
	next  int64    // the next offset to fetch
	top   int64    // no offset from here on is settled
	words []uint64 // a ring: the bit of offset o is o modulo the ring's size
}

// NewTracker returns a Tracker that begins at base and has room for span
// offsets, at least 1.
func NewTracker(base int64, span int) *Tracker {
	return &Tracker{base: base, next: base, top: base, words: make([]uint64, (span+63)/64)}
}

// Base returns the offset to commit: every offset below it is settled.
func (t *Tracker) Base() int64 { return t.base }

// Next returns the next offset to fetch.
func (t *Tracker) Next() int64 { return t.next }

// capacity returns the number of offsets from base on that have a bit.
func (t *Tracker) capacity() int64 { return int64(len(t.words)) * 64 }

func (t *Tracker) bit(offset int64) (word *uint64, mask uint64) {
	i := uint64(offset) % uint64(t.capacity())
	return &t.words[i/64], 1 << (i % 64)
}

// Fits reports whether offset can be tracked within span. One that does not fit
// has to wait until base has moved closer. When nothing that was fetched is
// unsettled, any offset fits: a compacted topic may jump by millions.
func (t *Tracker) Fits(offset, span int64) bool {
	return offset-t.base < min(span, t.capacity()) || t.base >= t.next
}

// Track records that offset was fetched, and reports whether it is settled
// already. Offsets between the previous one and this one do not exist
// (compaction, markers of transactions) and count as settled. The offset must
// fit.
func (t *Tracker) Track(offset int64) (settled bool) {
	if offset < t.base {
		return true
	}
	if t.base >= t.next && (t.base >= t.top || offset-t.base >= t.capacity()) {
		if t.base < t.top { // settled by metadata, and all of it below offset
			clear(t.words)
		}
		t.base, t.next, t.top = offset, offset, offset // nothing is open: jump the gap
	}
	for gap := t.next; gap < offset; gap++ {
		t.set(gap)
	}
	if offset >= t.next {
		t.next = offset + 1
	}
	t.advance()
	if offset < t.base {
		return true
	}
	word, mask := t.bit(offset)
	return *word&mask != 0
}

// Settle records that offset is settled, and reports whether that was new.
func (t *Tracker) Settle(offset int64) bool {
	if offset < t.base || offset-t.base >= t.capacity() {
		return false
	}
	word, mask := t.bit(offset)
	if *word&mask != 0 {
		return false
	}
	t.set(offset)
	t.advance()
	return true
}

func (t *Tracker) set(offset int64) {
	if offset < t.base {
		return
	}
	word, mask := t.bit(offset)
	*word |= mask
	t.top = max(t.top, offset+1)
}

// advance moves base past what is settled, a word at a time, and clears the
// bits that it passes so that the ring can use them again.
func (t *Tracker) advance() {
	for t.base < t.top {
		word, mask := t.bit(t.base)
		shift := bits.TrailingZeros64(mask)
		run := min(bits.TrailingZeros64(^(*word >> shift)), 64-shift)
		if run == 0 {
			return
		}
		*word &^= (^uint64(0) >> (64 - run)) << shift
		t.base += int64(run)
	}
	t.next = max(t.next, t.base)
}

// Settled reports whether offset is settled.
func (t *Tracker) Settled(offset int64) bool {
	if offset < t.base {
		return true
	}
	if offset >= t.top {
		return false
	}
	word, mask := t.bit(offset)
	return *word&mask != 0
}

// runEnd returns the offset at which the run of settled or unsettled offsets
// that begins at from ends.
func (t *Tracker) runEnd(from int64, settled bool) int64 {
	for from < t.top {
		word, mask := t.bit(from)
		shift := bits.TrailingZeros64(mask)
		w := *word >> shift
		if settled {
			w = ^w
		}
		run := min(bits.TrailingZeros64(w), 64-shift)
		from += int64(run)
		if run < 64-shift {
			break
		}
	}
	return min(from, t.top)
}
