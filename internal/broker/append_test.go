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
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(b *bench) {
		at := time.UnixMilli(1e12)
		two := []decision.Record{
			{Key: []byte("k"), Value: []byte("one"), Headers: []decision.Header{{Key: "h", Value: []byte("v")}}, Time: at},
			{Key: []byte("k")}, // a tombstone, of now
		}
		for want := range int64(2) {
			if offset, err := b.conn.Append(b.t.Context(), "a", 2, two); err != nil || offset != 2*want {
				b.t.Fatalf("offset %d, %v, want %d", offset, err, 2*want)
			}
		}
		var got []decision.Record
		if err := b.conn.Scan(b.t.Context(), broker.ScanOptions{Topic: "a"}, func(rec decision.Record) error {
			got = append(got, rec)
			return nil
		}); err != nil {
			b.t.Fatal(err)
		}
		if len(got) != 4 {
			b.t.Fatalf("%d records, want 4", len(got))
		}
		for i, rec := range got {
			if rec.Partition != 2 || rec.Offset != int64(i) || string(rec.Key) != "k" {
				b.t.Errorf("record %d is %s, key %s", i, rec.Origin(), rec.Key)
			}
		}
		if one := got[0]; string(one.Value) != "one" || !one.Time.Equal(at) || len(one.Headers) != 1 {
			b.t.Errorf("the first is %+v", one)
		}
		if stone := got[1]; stone.Value != nil || !stone.Time.Equal(time.Now()) {
			b.t.Errorf("the tombstone is %+v", stone)
		}
	})
}

func TestAppendMakesOneAttempt(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		fault := b.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: "a", Code: int(kafka.NotEnoughReplicas)})
		_, err := b.conn.Append(b.t.Context(), "a", 0, []decision.Record{{Value: []byte("x")}})
		wantErrorIs(b.t, err, kafka.NotEnoughReplicas)
		if fault.Hits() != 1 {
			b.t.Errorf("%d attempts", fault.Hits())
		}
	})
}

func TestCleanupPolicyIsTold(t *testing.T) {
	inBubble(t, embedded.Options{}, func(b *bench) {
		for _, policy := range []string{"compact", "delete"} {
			if err := b.cluster.CreateTopic(policy, 1, map[string]string{"cleanup.policy": policy}); err != nil {
				b.t.Fatal(err)
			}
			if got, err := broker.CleanupPolicy(b.t.Context(), b.conn.Client(), policy); err != nil || got != policy {
				b.t.Errorf("%s: %q, %v", policy, got, err)
			}
		}
		if _, err := broker.CleanupPolicy(b.t.Context(), b.conn.Client(), "missing"); err == nil {
			b.t.Error("a missing topic has a cleanup policy")
		}
	})
}
