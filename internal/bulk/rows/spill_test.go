package rows

import (
	"io"
	"testing"
)

func TestSpillReadsAllEntriesInOrderRepeatedly(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 1000} {
		s := &spill{dir: t.TempDir(), limit: 8}
		t.Cleanup(s.close)
		for i := range n {
			if err := s.add(entry{key: [2]uint64{uint64(i*7919) % 31, 0}, place: place(i), extra: uint64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			m := s.merged()
			var last entry
			for i := 0; ; i++ {
				e, err := m.next()
				if err == io.EOF {
					if i != n {
						t.Errorf("%d of %d entries", i, n)
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if i > 0 && last.compare(&e) >= 0 || e.extra != uint64(e.place) {
					t.Fatalf("%+v after %+v", e, last)
				}
				last = e
			}
		}
	}
}
