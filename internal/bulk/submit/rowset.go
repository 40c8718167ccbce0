package submit

import "math/bits"

// rowSet is a set of row numbers, one bit per row.
type rowSet struct {
	after int64 // the set holds numbers above this one
	bits  []uint64
}

func newRowSet(after, last int64) *rowSet {
	return &rowSet{after: after, bits: make([]uint64, (max(0, last-after)+63)/64)}
}

func (s *rowSet) add(n int64) {
	if i := n - s.after - 1; i >= 0 && i < int64(64*len(s.bits)) {
		s.bits[i/64] |= 1 << (i % 64)
	}
}

// has reports whether the set holds a number. A nil set holds none.
func (s *rowSet) has(n int64) bool {
	if s == nil {
		return false
	}
	i := n - s.after - 1
	return i >= 0 && i < int64(64*len(s.bits)) && s.bits[i/64]&(1<<(i%64)) != 0
}

func (s *rowSet) count() (n int64) {
	for _, b := range s.bits {
		n += int64(bits.OnesCount64(b))
	}
	return n
}
