package spill_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"verdict/internal/bulk/spill"
)

func TestSorterReadsAllRecordsInOrderRepeatedly(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 1000} {
		s := &spill.Sorter{Dir: t.TempDir(), Limit: 100}
		t.Cleanup(s.Close)
		for range 2 { // a sorter can be used again after a reset
			s.Reset()
			sum := 0
			for i := range n {
				key := binary.BigEndian.AppendUint32(nil, uint32(i*7919)%31)
				if err := s.Add(key, fmt.Appendf(nil, "%*d", i%40, i)); err != nil {
					t.Fatal(err)
				}
				sum += i
			}
			for range 2 {
				m := s.Sorted()
				var last []byte
				count, total := 0, 0
				for {
					rec, err := m.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					var i int
					if _, err := fmt.Sscan(string(rec[4:]), &i); err != nil || bytes.Compare(last, rec) >= 0 || binary.BigEndian.Uint32(rec) != uint32(i*7919)%31 {
						t.Fatalf("%q after %q, %v", rec, last, err)
					}
					last = bytes.Clone(rec)
					count, total = count+1, total+i
				}
				if count != n || total != sum {
					t.Errorf("%d of %d records, of sum %d instead of %d", count, n, total, sum)
				}
			}
		}
	}
}

// A record that is larger than the limit is sorted all the same.
func TestSorterTakesLargeRecords(t *testing.T) {
	s := &spill.Sorter{Dir: t.TempDir(), Limit: 10}
	defer s.Close()
	for _, c := range "cab" {
		if err := s.Add(bytes.Repeat([]byte(string(c)), 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	m := s.Sorted()
	for _, want := range "abc" {
		if rec, err := m.Next(); err != nil || len(rec) != 10_000 || rec[0] != byte(want) {
			t.Errorf("%.10q…, %v, want %c", rec, err, want)
		}
	}
}
