package recordset_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"verdict/internal/broker/recordset"
)

// fromProducers returns the sets in testdata, by their files.
func fromProducers(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) != 3*7 {
		t.Fatalf("%q, %v", files, err)
	}
	sets := make(map[string][]byte)
	for _, file := range files {
		if sets[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return sets
}

// producerOf returns the producer of the first batch.
func producerOf(set []byte) int64 { return int64(binary.BigEndian.Uint64(set[43:])) }

func TestReadTakesWhatProducersSend(t *testing.T) {
	for file, set := range fromProducers(t) {
		want, next, aborted := "0 1 2 3 4 5", int64(6), []recordset.Aborted(nil)
		if strings.HasSuffix(file, "-transactions.log") { // each ends with a marker
			want, next = "0 1 2", 8
			aborted = []recordset.Aborted{{ProducerID: producerOf(set), First: 4}}
			if got := read(set, 0); got.offsets() != "0 1 2 4 5 6" || got.next != next {
				t.Errorf("%s: %s, next %d", file, got.offsets(), got.next)
			}
		}
		got := read(set, 0, aborted...)
		if got.offsets() != want || got.next != next || got.err != nil {
			t.Errorf("%s: %s, next %d, %v, %v; want %s, %d", file, got.offsets(), got.next, got.bad, got.err, want, next)
			continue
		}
		for i, rec := range got.records {
			var headers []recordset.Header
			if i >= 3 {
				headers = []recordset.Header{{Key: "h", Value: []byte("v")}, {Key: "none"}}
			}
			key := [][]byte{[]byte("a"), nil, []byte("c")}[i%3]
			value := [][]byte{[]byte(strings.Repeat("one ", 50)), []byte(strings.Repeat("two ", 50)), nil}[i%3]
			if !same(rec.Key, key) || !same(rec.Value, value) || rec.Time.Year() < 2026 || !slices.EqualFunc(rec.Headers, headers, sameHeader) {
				t.Errorf("%s: record %d is %+v", file, i, rec)
			}
		}
	}
}
