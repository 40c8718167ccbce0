package submit

import "testing"

func TestRowSetHoldsTheAddedRows(t *testing.T) {
	s := newRowSet(100, 300)
	for _, n := range []int64{1, 100, 101, 164, 165, 300, 300, 5000} {
		s.add(n)
	}
	if s.count() != 4 || !s.has(101) || !s.has(164) || !s.has(165) || !s.has(300) || s.has(100) || s.has(102) || s.has(5000) || s.has(0) {
		t.Errorf("%+v", s)
	}
	if empty := newRowSet(10, 10); empty.has(11) || empty.count() != 0 {
		t.Error("an empty set is not empty")
	}
}
