package consumer

import "math/bits"

// tracker knows which offsets of one partition are settled. Offsets settle in
// any order; what can be committed is the contiguous prefix. It costs one bit
// for each offset of the span, whatever the decisions behind them hold.
//
//	      base                  next              top
//	───────┼──────────────────────┼────────────────┼───────
//	settled│ fetched, some settled│ not yet fetched│ unknown
//	       │                      │ (some settled, │
//	       │                      │  by metadata)  │
//
// It is pure: no lock, no goroutine, no Kafka. A Claim guards it.
type tracker struct {
	base  int64    // every offset below is settled: the offset to commit
	next  int64    // the offset that is to be fetched next
	top   int64    // no offset from here on is settled
	words []uint64 // a ring: the bit of offset o is o modulo the ring's size
}

// newTracker begins at base. It can hold a span of offsets, at least 1.
func newTracker(base int64, span int) *tracker {
	return &tracker{base: base, next: base, top: base, words: make([]uint64, (span+63)/64)}
}

// capacity is the number of offsets from base on that have a bit.
func (t *tracker) capacity() int64 { return int64(len(t.words)) * 64 }

func (t *tracker) bit(offset int64) (word *uint64, mask uint64) {
	i := uint64(offset) % uint64(t.capacity())
	return &t.words[i/64], 1 << (i % 64)
}

// fits says whether an offset can be tracked within span. One that does not has
// to wait until base has come nearer; when nothing that was fetched is unsettled
// it always fits, however far it is (a compacted topic may jump by millions).
func (t *tracker) fits(offset int64, span int64) bool {
	return offset-t.base < min(span, t.capacity()) || t.base >= t.next
}

// track notes that offset was fetched, and says whether it is settled already.
// Offsets between the one before and this one do not exist (compaction, the
// markers of transactions) and count as settled. The offset must fit.
func (t *tracker) track(offset int64) (settled bool) {
	if offset < t.base {
		return true
	}
	if t.base >= t.next && (t.base >= t.top || offset-t.base >= t.capacity()) {
		if t.base < t.top { // by metadata: all of that lies before offset
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

// settle notes that offset is settled, and says whether that is news.
func (t *tracker) settle(offset int64) bool {
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

func (t *tracker) set(offset int64) {
	if offset < t.base {
		return
	}
	word, mask := t.bit(offset)
	*word |= mask
	t.top = max(t.top, offset+1)
}

// advance moves base over what is settled, a word at a time, and clears the
// bits that it passes so that the ring can use them again.
func (t *tracker) advance() {
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

// settledAt says whether offset is settled.
func (t *tracker) settledAt(offset int64) bool {
	if offset < t.base {
		return true
	}
	if offset >= t.top {
		return false
	}
	word, mask := t.bit(offset)
	return *word&mask != 0
}
