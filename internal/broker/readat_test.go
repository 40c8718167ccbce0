package broker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"verdict/internal/broker/embedded"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/test/fixture"
)

// TestReadAtReturnsWhatIsLeft reads single records, across batches, markers and what was
// deleted.
func TestReadAtReturnsWhatIsLeft(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		c := w.franz(kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		for batch := range 4 { // offsets 0-2, 4-6, 8-10 and 12-14, each followed by its marker
			var records []*kgo.Record
			for n := range 3 {
				records = append(records, &kgo.Record{Topic: "a", Key: fmt.Append(nil, "k", batch*4+n), Value: fmt.Append(nil, batch*4+n)})
			}
			transact(t, c, records...)
			if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		read := func(offsets ...int64) (found []string) {
			t.Helper()
			records, err := w.conn.ReadAt(t.Context(), "a", 0, offsets)
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range records {
				if string(rec.Key) != "k"+string(rec.Value) || rec.Topic != "a" || rec.Time.IsZero() {
					t.Errorf("record %+v", rec)
				}
				found = append(found, string(rec.Value))
			}
			return found
		}
		for _, test := range []struct {
			offsets []int64
			want    []string
		}{
			{nil, nil},
			{[]int64{5}, []string{"5"}},
			{[]int64{0, 2, 4, 13, 14}, []string{"0", "2", "4", "13", "14"}},
			{[]int64{3, 4}, []string{"4"}}, // a marker is no record
		} {
			if got := read(test.offsets...); !slices.Equal(got, test.want) {
				t.Errorf("at %v: %q, want %q", test.offsets, got, test.want)
			}
		}
		fixture.DeleteRecords(t, w.cluster, w.network, "a", 0, 9)
		if got := read(0, 2, 5, 8, 9, 12); !slices.Equal(got, []string{"9", "12"}) {
			t.Errorf("after the deletion: %q", got)
		}
		if got := read(0, 2); len(got) != 0 {
			t.Errorf("after the deletion: %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if got, err := w.conn.ReadAt(ctx, "a", 0, []int64{12, 99}); err == nil {
			t.Errorf("%v from beyond the end", got)
		}
	})
}
