package broker_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestBoundsWaitsForAClusterUntilContextEnds(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 2}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		w.network.Cut()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := w.conn.Bounds(ctx, "a")
		wantErrorIs(t, err, context.DeadlineExceeded)
		wantErrorIs(t, err, embedded.ErrCut)
		w.network.Mend()
		bounds, err := w.conn.Bounds(t.Context(), "a")
		if err != nil || len(bounds) != 2 || bounds[0].End+bounds[1].End != 10 || bounds[0].First != 0 {
			t.Errorf("bounds %v, %v, want 10 records in 2 partitions", bounds, err)
		}
	})
}

func TestLogEndsIncludeUncommittedRecords(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 2, Topics: map[string]int{"a": 3}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		want := make(map[int]int64)
		for p := range 3 {
			want[p] = w.cluster.HighWatermark("a", p)
		}
		ends, err := w.conn.LogEnds(t.Context(), "a")
		if err != nil || !maps.Equal(ends, want) {
			t.Errorf("ends %v, %v, want %v", ends, err, want)
		}

		c := w.franz(kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		transact(t, c, &kgo.Record{Topic: "a", Value: []byte("open"), Partition: 1})
		bounds, err := w.conn.Bounds(t.Context(), "a")
		if err != nil || bounds[1].End != want[1] {
			t.Errorf("bounds %v, %v, want %d as before", bounds, err, want[1])
		}
		want[1]++
		if ends, err = w.conn.LogEnds(t.Context(), "a"); err != nil || !maps.Equal(ends, want) {
			t.Errorf("ends with an open transaction: %v, %v, want %v", ends, err, want)
		}
		if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLogEndsRetriesMovesAndNamesMissingTopic(t *testing.T) {
	inWorld(t, oneTopic(2), func(w *world) {
		w.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Code: int(kafka.NotLeaderForPartition), Times: 3})
		if ends, err := w.conn.LogEnds(w.t.Context(), "results"); err != nil || len(ends) != 2 {
			w.t.Errorf("ends %v, %v, want those of 2 partitions", ends, err)
		}
		_, err := w.conn.LogEnds(w.t.Context(), "nowhere")
		wantErrorIs(w.t, err, broker.ErrNoTopic)
	})
}
