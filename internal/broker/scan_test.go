package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// store publishes n records to a topic, keyed so that every partition gets some.
func (b *bench) store(topic string, from, n int) {
	b.t.Helper()
	p, told := b.publisher(broker.PublisherOptions{})
	for i := from; i < from+n; i++ {
		b.publish(p, told, record(topic, fmt.Sprint("key-", i), fmt.Sprint(i)))
	}
	mustClose(b.t, p)
}

// scan is the values that a scan gives, and its error.
func (b *bench) scan(ctx context.Context, o broker.ScanOptions) ([]string, error) {
	var values []string
	last := map[int]int64{}
	err := b.conn.Scan(ctx, o, func(rec decision.Record) error {
		if before, ok := last[rec.Partition]; ok && rec.Offset <= before {
			b.t.Errorf("%s comes after offset %d", rec.Origin(), before)
		}
		last[rec.Partition] = rec.Offset
		values = append(values, string(rec.Value))
		return nil
	})
	return values, err
}

// wantNumbers wants each of the numbers from, from+1, … once, in any order.
func wantNumbers(t *testing.T, got []string, from, n int) {
	t.Helper()
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprint(from + i)
	}
	slices.Sort(want)
	got = slices.Sorted(slices.Values(got))
	if !slices.Equal(got, want) {
		t.Errorf("got %d values, want the %d from %d on; the first: %q", len(got), n, from, got[:min(len(got), 20)])
	}
}

func TestAScanGivesEachRecordOnceAndEnds(t *testing.T) {
	inBubble(t, embedded.Options{Brokers: 3, Topics: map[string]int{"a": 40, "one": 2, "none": 3}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 5000)
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, got, 0, 5000)

		b.store("one", 7, 1) // the other partition is empty
		if got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "one"}); err != nil || !slices.Equal(got, []string{"7"}) {
			t.Errorf("%q, %v", got, err)
		}
		if got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "none"}); err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAScanGivesARecordAsItIs(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 2}}, func(b *bench) {
		t := b.t
		p, told := b.publisher(broker.PublisherOptions{})
		at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		b.publish(p, told,
			decision.Record{Topic: "a", Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []decision.Header{
				{Key: "h", Value: []byte("1")}, {Key: "h"}, {Key: "", Value: []byte{}}}},
			decision.Record{Topic: "a", Key: []byte("k")},
			decision.Record{Topic: "a", Key: []byte("k"), Value: []byte{}})
		mustClose(t, p)
		var all []decision.Record
		if err := b.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a"}, func(rec decision.Record) error {
			all = append(all, rec)
			return nil
		}); err != nil || len(all) != 3 {
			t.Fatalf("%d records, %v", len(all), err)
		}
		r := all[0]
		if r.Topic != "a" || r.Offset != 0 || string(r.Key) != "k" || string(r.Value) != "v" || !r.Time.Equal(at) {
			t.Errorf("record %+v", r)
		}
		if len(r.Headers) != 3 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "1" || r.Headers[1].Value != nil || r.Headers[2].Value == nil {
			t.Errorf("headers %+v", r.Headers)
		}
		if all[1].Value != nil || all[1].Headers != nil || all[2].Value == nil {
			t.Errorf("no value %v, empty value %v", all[1].Value, all[2].Value)
		}
	})
}

func TestAScanBeginsAndEndsWhereItIsTold(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1, "b": 3}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		time.Sleep(time.Hour)
		cut := time.Now()
		b.store("a", 10, 10)
		for name, test := range map[string]struct {
			o       broker.ScanOptions
			from, n int
		}{
			"since":                  {broker.ScanOptions{Since: cut}, 10, 10},
			"since the future":       {broker.ScanOptions{Since: cut.Add(time.Hour)}, 0, 0},
			"at an offset":           {broker.ScanOptions{Offsets: map[int]int64{0: 15}}, 15, 5},
			"an offset before since": {broker.ScanOptions{Since: cut, Offsets: map[int]int64{0: 5}}, 5, 15},
			"at the end":             {broker.ScanOptions{Offsets: map[int]int64{0: 20}}, 0, 0},
			"beyond the end":         {broker.ScanOptions{Offsets: map[int]int64{0: 200}}, 0, 0},
			"to an end":              {broker.ScanOptions{Ends: map[int]int64{0: 7}}, 0, 7},
			"a look-up":              {broker.ScanOptions{Offsets: map[int]int64{0: 7}, Ends: map[int]int64{0: 8}}, 7, 1},
		} {
			test.o.Topic = "a"
			got, err := b.scan(t.Context(), test.o)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantNumbers(t, got, test.from, test.n)
		}

		b.store("b", 0, 100)
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "b", Partitions: []int{1}})
		if err != nil || len(got) != int(b.cluster.HighWatermark("b", 1)) {
			t.Errorf("partition 1 has %d records, got %d, %v", b.cluster.HighWatermark("b", 1), len(got), err)
		}
		if _, err = b.scan(t.Context(), broker.ScanOptions{Topic: "b", Partitions: []int{3}}); err == nil || !strings.Contains(err.Error(), "only 0 to 2") {
			t.Errorf("a partition that is not there: %v", err)
		}
	})
}

func TestAScanThatFollowsGoesOnUntilItIsStopped(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		n := 0
		err := b.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true}, func(decision.Record) error {
			n++
			switch n {
			case 10:
				time.AfterFunc(time.Minute, func() { b.store("a", 10, 10) })
			case 20:
				return broker.ErrStopScan
			}
			return nil
		})
		if err != nil || n != 20 {
			t.Errorf("%d records, %v", n, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		got, err := b.scan(ctx, broker.ScanOptions{Topic: "a", Follow: true})
		wantErrorIs(t, err, context.DeadlineExceeded)
		wantNumbers(t, got, 0, 20)
		if time.Since(began) != time.Minute {
			t.Errorf("ended after %v", time.Since(began))
		}
	})
}

func TestAScansCallbackEndsItByItsError(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 100)
		mine := errors.New("mine")
		n := 0
		err := b.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a"}, func(decision.Record) error {
			if n++; n == 5 {
				return mine
			}
			return nil
		})
		if !errors.Is(err, mine) || n != 5 {
			t.Errorf("%v after %d calls", err, n)
		}
	})
}

func TestAScanSeesLeaderMovesAndOutagesThrough(t *testing.T) {
	inBubble(t, embedded.Options{Brokers: 3, Topics: map[string]int{"a": 6}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 1000)
		b.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Topic: "a", Code: int(kafka.NotLeaderForPartition), Times: 3})
		b.cluster.Inject(embedded.Fault{API: embedded.Fetch, Topic: "a", Code: int(kafka.LeaderNotAvailable), Times: 9})
		var failures int
		n := 0
		var values []string
		err := b.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true, Retrying: func(error) { failures++ }}, func(rec decision.Record) error {
			values = append(values, string(rec.Value))
			switch n++; n {
			case 300:
				b.cluster.MoveLeaders()
			case 1000:
				go func() {
					b.network.Cut()
					time.Sleep(time.Minute)
					b.network.Mend()
					b.store("a", 1000, 100)
				}()
			case 1100:
				return broker.ErrStopScan
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, values, 0, 1100)
		if failures < 12 {
			t.Errorf("%d failures told, want those injected at the least", failures)
		}
	})
}

func TestAScanSaysWhatIsWrongForGood(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		_, err := b.scan(t.Context(), broker.ScanOptions{Topic: "b"})
		wantErrorIs(t, err, broker.ErrNoTopic)
		if err == nil || !strings.Contains(err.Error(), "verdict topics") {
			t.Errorf("a missing topic: %v", err)
		}
		fault := b.cluster.Inject(embedded.Fault{API: embedded.Fetch, Topic: "a", Code: int(kafka.TopicAuthorizationFailed)})
		_, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		wantErrorIs(t, err, kafka.TopicAuthorizationFailed)
		fault.Lift()
	})
}

func TestATopicThatIsDeletedEndsTheScan(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		began := time.Now()
		n := 0
		err := b.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true}, func(decision.Record) error {
			if n++; n == 10 {
				return b.cluster.DeleteTopic("a")
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "does the topic exist?") {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < 30*time.Second || took > 2*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestBoundsWaitsForAClusterUntilItsContextEnds(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 2}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 10)
		b.network.Cut()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.conn.Bounds(ctx, "a")
		wantErrorIs(t, err, context.DeadlineExceeded)
		wantErrorIs(t, err, embedded.ErrCut)
		b.network.Mend()
		bounds, err := b.conn.Bounds(t.Context(), "a")
		if err != nil || len(bounds) != 2 || bounds[0].End+bounds[1].End != 10 || bounds[0].First != 0 {
			t.Errorf("%v, %v", bounds, err)
		}
	})
}

// franz is a client that can do what kafka-go can't: transactions, and deleting
// records.
func (b *bench) franz(o ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(b.cluster.Addrs()...), kgo.Dialer(b.network.DialContext))...)
	if err != nil {
		b.t.Fatal(err)
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

func TestAScanPassesTheMarkersOfTransactionsAndStopsAtAnOpenOne(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		t := b.t
		c := b.franz(kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		for _, value := range []string{"0", "1", "2"} {
			transact(t, c, &kgo.Record{Topic: "a", Value: []byte(value)})
			if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.cluster.HighWatermark("a", 0); got != 6 {
			t.Fatalf("the high watermark is %d, want 6 by three records and their markers", got)
		}
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%q, %v", got, err)
		}
		// From the last marker on there is nothing.
		got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}

		transact(t, c, &kgo.Record{Topic: "a", Value: []byte("3")})
		bounds, err := b.conn.Bounds(t.Context(), "a")
		if err != nil || bounds[0].End != 6 {
			t.Errorf("bounds %v, %v, want the end before the open transaction", bounds, err)
		}
		got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("with an open transaction: %q, %v", got, err)
		}
		if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("after it: %q, %v", got, err)
		}
	})
}

func TestAScanPassesWhatIsCompactedAwayOrDeleted(t *testing.T) {
	inBubble(t, embedded.Options{}, func(b *bench) {
		t := b.t
		if err := b.cluster.CreateTopic("a", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		c := b.franz(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer c.Close()
		// Batches of five, of which the first loses its end, the second all, and
		// the third its beginning.
		for _, keys := range []string{"abcde", "cdefg", "defgh", "z"} {
			var batch []*kgo.Record
			for _, key := range keys {
				batch = append(batch, &kgo.Record{Topic: "a", Key: []byte(string(key)), Value: []byte(string(key))})
			}
			if err := c.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		b.cluster.Kfake().Compact()
		for from, want := range map[int64]string{0: "abcdefghz", 2: "cdefghz", 3: "cdefghz", 8: "defghz", 12: "fghz", 14: "hz", 15: "z", 16: ""} {
			got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: from}})
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
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 3}})
		if err != nil || !slices.Equal(got, []string{"z"}) {
			t.Errorf("after deletion: %q, %v", got, err)
		}
	})
}

// TestABatchThatLostItsEndIsPassed answers as Kafka does for an offset that was
// compacted away from the end of its batch: with that batch. The embedded cluster
// would have it shortened.
func TestABatchThatLostItsEndIsPassed(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		t := b.t
		for i := range 8 {
			b.store("a", i, 1) // each in a batch of its own
		}
		b.cluster.Kfake().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.Kfake().KeepControl()
			p := &req.(*kmsg.FetchRequest).Topics[0].Partitions[0]
			if p.FetchOffset == 5 || p.FetchOffset == 6 {
				p.FetchOffset, p.PartitionMaxBytes = 4, 1 // the batch of 4 alone
			}
			return nil, nil, false
		})
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}})
		if err != nil || !slices.Equal(got, []string{"7"}) {
			t.Errorf("%q, %v", got, err)
		}
		// And where the partition ends so.
		got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a", Offsets: map[int]int64{0: 5}, Ends: map[int]int64{0: 7}})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestAnEmptyAnswerBelowTheEndIsAskedAgain covers a new leader, which for a while
// does not give what it has.
func TestAnEmptyAnswerBelowTheEndIsAskedAgain(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(b *bench) {
		t := b.t
		b.store("a", 0, 8)
		empty := 1
		b.cluster.Kfake().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.Kfake().KeepControl()
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
		got, err := b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil {
			t.Error(err)
		}
		wantNumbers(t, got, 0, 8)

		// Where it stays empty, there is nothing.
		empty = 100
		got, err = b.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}
