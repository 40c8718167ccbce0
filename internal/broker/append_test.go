package broker_test

import (
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

func TestAppendPutsRecordsIntoTheChosenPartition(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(w *world) {
		at := time.UnixMilli(1e12)
		two := []decision.Record{
			{Key: []byte("k"), Value: []byte("one"), Headers: []decision.Header{{Key: "h", Value: []byte("v")}}, Time: at},
			{Key: []byte("k")}, // a tombstone with the time of now
		}
		for want := range int64(2) {
			if offset, err := w.conn.Append(w.t.Context(), "a", 2, two); err != nil || offset != 2*want {
				w.t.Fatalf("offset %d, %v, want %d", offset, err, 2*want)
			}
		}
		var got []decision.Record
		if err := w.conn.Scan(w.t.Context(), broker.ScanOptions{Topic: "a"}, func(rec decision.Record) error {
			got = append(got, rec)
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		if len(got) != 4 {
			w.t.Fatalf("%d records, want 4", len(got))
		}
		for i, rec := range got {
			if rec.Partition != 2 || rec.Offset != int64(i) || string(rec.Key) != "k" {
				w.t.Errorf("record %d is %s, key %s", i, rec.Origin(), rec.Key)
			}
		}
		if one := got[0]; string(one.Value) != "one" || !one.Time.Equal(at) || len(one.Headers) != 1 {
			w.t.Errorf("the first is %+v", one)
		}
		if stone := got[1]; stone.Value != nil || !stone.Time.Equal(time.Now()) {
			w.t.Errorf("the tombstone is %+v", stone)
		}
	})
}

func TestAppendMakesOneAttempt(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		fault := w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: "a", Code: int(kafka.NotEnoughReplicas)})
		_, err := w.conn.Append(w.t.Context(), "a", 0, []decision.Record{{Value: []byte("x")}})
		wantErrorIs(w.t, err, kafka.NotEnoughReplicas)
		if fault.Hits() != 1 {
			w.t.Errorf("%d attempts, want 1", fault.Hits())
		}
	})
}
