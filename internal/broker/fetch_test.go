package broker_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz returns a client for what kafka-go can't do: transactions, and deleting
// records.
func (w *world) franz(o ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(w.cluster.Addrs()...), kgo.Dialer(w.network.DialContext))...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// transact stores records in one transaction and leaves it open.
func transact(t *testing.T, c *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestScanPassesMarkersAndStopsAtOpenTransaction(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		c := w.franz(kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		for _, value := range []string{"0", "1", "2"} {
			transact(t, c, &kgo.Record{Topic: "a", Value: []byte(value)})
			if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.cluster.HighWatermark("a", 0); got != 6 {
			t.Fatalf("the high watermark is %d, want 6 by three records and their markers", got)
		}
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%q, %v", got, err)
		}
		// Nothing is left from the last marker on.
		got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}

		transact(t, c, &kgo.Record{Topic: "a", Value: []byte("3")})
		bounds, err := w.conn.Bounds(t.Context(), "a")
		if err != nil || bounds[0].End != 6 {
			t.Errorf("bounds %v, %v, want the end before the open transaction", bounds, err)
		}
		got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("with an open transaction: %q, %v", got, err)
		}
		if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("after it: %q, %v", got, err)
		}
	})
}

func TestScanPassesCompactedAndDeletedRecords(t *testing.T) {
	inWorld(t, embedded.Options{}, func(w *world) {
		t := w.t
		if err := w.cluster.CreateTopic("a", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		c := w.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		// Batches of five. The first loses its end, the second all, and the third
		// its beginning.
		for _, keys := range []string{"abcde", "cdefg", "defgh", "z"} {
			var batch []*kgo.Record
			for _, key := range keys {
				batch = append(batch, &kgo.Record{Topic: "a", Key: []byte(string(key)), Value: []byte(string(key))})
			}
			if err := c.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		w.cluster.Kfake().Compact()
		for from, want := range map[int64]string{0: "abcdefghz", 2: "cdefghz", 3: "cdefghz", 8: "defghz", 12: "fghz", 14: "hz", 15: "z", 16: ""} {
			got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: from}})
			if err != nil || strings.Join(got, "") != want {
				t.Errorf("from %d: %q, %v, want %q", from, got, err, want)
			}
		}

		req := kmsg.NewPtrDeleteRecordsRequest()
		topic := kmsg.NewDeleteRecordsRequestTopic()
		topic.Topic = "a"
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = 15
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		if _, err := req.RequestWith(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 3}})
		if err != nil || !slices.Equal(got, []string{"z"}) {
			t.Errorf("after deletion: %q, %v", got, err)
		}
	})
}

// For an offset that was compacted away from the end of its batch, Kafka answers
// with that batch. The embedded cluster would have shortened it.
func TestScanPassesABatchThatLostItsEnd(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		for i := range 8 {
			w.store("a", i, 1) // each in a batch of its own
		}
		w.cluster.Kfake().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.Kfake().KeepControl()
			p := &req.(*kmsg.FetchRequest).Topics[0].Partitions[0]
			if p.FetchOffset == 5 || p.FetchOffset == 6 {
				p.FetchOffset, p.PartitionMaxBytes = 4, 1 // the batch of 4 alone
			}
			return nil, nil, false
		})
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}})
		if err != nil || !slices.Equal(got, []string{"7"}) {
			t.Errorf("%q, %v", got, err)
		}
		// And where the scan ends there.
		got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}, Ends: map[int]int64{0: 7}})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// For a while a new leader does not give what it has.
func TestScanRepeatsAnEmptyFetchBelowTheEnd(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		w.store("a", 0, 8)
		empty := 1
		w.cluster.Kfake().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.Kfake().KeepControl()
			if empty--; empty < 0 {
				return nil, nil, false
			}
			res := req.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = "a"
			p := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.LastStableOffset, p.RecordBatches = 8, 8, []byte{}
			topic.Partitions = append(topic.Partitions, p)
			res.Topics = append(res.Topics, topic)
			return res, nil, true
		})
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil {
			t.Error(err)
		}
		wantNumbers(t, got, 0, 8)

		// A partition that stays empty has nothing.
		empty = 100
		got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A connection whose answer was an error is another fetch's at once. The race detector
// sees whether the first one still looks at it.
func TestFetchesShareConnectionsAfterErrors(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		var fetches sync.WaitGroup
		for range 8 {
			fetches.Go(func() {
				for range 200 {
					_, err := w.conn.Fetch(w.t.Context(), broker.FetchRequest{Topic: "a", Offset: 100})
					if !errors.Is(err, kafka.OffsetOutOfRange) {
						w.t.Error(err)
					}
				}
			})
		}
		fetches.Wait()
	})
}
