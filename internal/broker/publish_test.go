package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

func TestPublishStoresBeforeDone(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		var observed []string
		p, _ := w.publisher(broker.PublisherOptions{
			Observe: func(rec *decision.Record, seconds float64) {
				observed = append(observed, fmt.Sprintf("%s %.3f", rec.Topic, seconds))
			},
		})
		defer mustClose(w.t, p)
		stored := make(chan int64)
		err := p.Publish(w.t.Context(), record("results", "k", "v"), func(err error) {
			if err != nil {
				w.t.Error(err)
			}
			stored <- w.cluster.HighWatermark("results", 0)
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if n := <-stored; n != 1 {
			w.t.Errorf("%d records stored when done was called, want 1", n)
		}
		// The linger, by the bubble's clock.
		if want := []string{"results 0.002"}; !slices.Equal(observed, want) {
			w.t.Errorf("observed %q, want %q", observed, want)
		}
	})
}

func TestPublishKeepsRecordsByteForByte(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
		w.publish(p, calls,
			decision.Record{
				Topic: "results", Key: []byte{0, 0xff}, Value: []byte("v\x00"), Time: at,
				Headers: []decision.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}},
			},
			decision.Record{Topic: "results", Key: nil, Value: nil},
			decision.Record{Topic: "results", Key: []byte{}, Value: []byte{}},
		)
		mustClose(w.t, p)
		var got []decision.Record
		if err := w.conn.Scan(w.t.Context(), broker.ScanOptions{Topic: "results"}, func(rec decision.Record) error {
			got = append(got, rec)
			return nil
		}); err != nil || len(got) != 3 {
			w.t.Fatalf("%d records, want 3: %v", len(got), err)
		}
		first := got[0]
		if !bytes.Equal(first.Key, []byte{0, 0xff}) || string(first.Value) != "v\x00" || !first.Time.Equal(at) {
			w.t.Errorf("got %+v", first)
		}
		if len(first.Headers) != 3 || first.Headers[0].Key != "a" || string(first.Headers[0].Value) != "1" ||
			first.Headers[1].Value != nil || first.Headers[2].Key != "" || first.Headers[2].Value == nil {
			w.t.Errorf("headers %#v", first.Headers)
		}
		if got[1].Key != nil || got[1].Value != nil || got[1].Time.IsZero() {
			w.t.Errorf("nil key and value came back as %#v", got[1])
		}
		if got[2].Key == nil || got[2].Value == nil || len(got[2].Key)+len(got[2].Value) != 0 {
			w.t.Errorf("empty key and value came back as %#v", got[2])
		}
	})
}

func TestPublishChoosesPartitionsLikeTheJavaClient(t *testing.T) {
	// The Java client takes toPositive(hash) % partitions; the hashes are those
	// of its Utils.murmur2 for these keys.
	hashes := map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                    -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h8": 1171836447,
	}
	inWorld(t, oneTopic(100), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for key := range hashes {
			w.publish(p, calls, record("results", key, key))
		}
		mustClose(w.t, p)
		for key, hash := range hashes {
			partition := int(hash&0x7fffffff) % 100
			if got := w.read("results", partition); !slices.Equal(got, []string{key}) {
				w.t.Errorf("partition %d holds %q, want %q", partition, got, key)
			}
		}
	})
}

func TestPublishSpreadsRecordsWithoutKey(t *testing.T) {
	inWorld(t, oneTopic(3), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for i := range 9 {
			w.publish(p, calls, decision.Record{Topic: "results", Value: fmt.Append(nil, i)})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		mustClose(w.t, p)
		for partition := range 3 {
			if got := w.cluster.HighWatermark("results", partition); got != 3 {
				w.t.Errorf("partition %d holds %d records, want 3", partition, got)
			}
		}
	})
}

func TestPublishBatchesRecords(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{MaxBatchRecords: 100})
		requests := w.countProduces()
		for i := range 250 {
			w.publish(p, calls, record("results", "k", fmt.Sprint(i)))
		}
		mustClose(w.t, p)
		if got := requests(); got != 3 {
			w.t.Errorf("%d requests for 250 records in batches of 100, want 3", got)
		}
		if got := w.read("results", 0); !slices.Equal(got, numbers(0, 250)) {
			w.t.Errorf("read %q", got)
		}
	})
}

func TestPublishRefusesOnlyTheRecordTooLarge(t *testing.T) {
	for name, test := range map[string]struct {
		topic   map[string]string
		options broker.PublisherOptions
	}{
		"by the topic":         {topic: map[string]string{"max.message.bytes": "20000"}},
		"by the publisher":     {options: broker.PublisherOptions{MaxBatchBytes: 20000}},
		"by the pending bytes": {options: broker.PublisherOptions{MaxBatchBytes: 20000, MaxPendingBytes: 25000}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, embedded.Options{}, func(w *world) {
				if err := w.cluster.CreateTopic("results", 1, test.topic); err != nil {
					w.t.Fatal(err)
				}
				p, calls := w.publisher(test.options)
				var want []string
				for i := range 100 {
					value := fmt.Sprint(i)
					switch i {
					case 0, 41, 42, 99:
						value += strings.Repeat("x", 30000)
					default:
						want = append(want, value)
					}
					w.publish(p, calls, record("results", "k", value))
				}
				mustClose(w.t, p)
				if got := calls.count(decision.ErrTooLarge); got != 4 {
					w.t.Errorf("%d records too large, want 4", got)
				}
				if got := calls.count(nil); got != 96 || len(calls.values()) != 100 {
					w.t.Errorf("%d without error, %d in all, want 96 and 100", got, len(calls.values()))
				}
				if got := w.read("results", 0); !slices.Equal(got, want) {
					w.t.Errorf("read %q", got)
				}
				if got := calls.healthChanges(); len(got) != 0 {
					w.t.Errorf("health changes %q, want none: a record's size is no failure of Kafka", got)
				}
			})
		})
	}
}

func TestPublishTakesTheBrokersLargestRecord(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.publish(p, calls, record("results", "k", strings.Repeat("x", 1<<20-200)))
		mustClose(w.t, p)
		if calls.count(nil) != 1 {
			w.t.Errorf("outcome %v", calls.outcomes)
		}
	})
}

func TestPublishBlocksWhileFull(t *testing.T) {
	inWorld(t, oneTopic(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{MaxPendingBytes: 10000, MaxBatchBytes: 5000})
		w.network.Cut()
		n := 0
		for {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
			err := p.Publish(ctx, record("results", "k", fmt.Sprint(n)), calls.done(fmt.Sprint(n)))
			cancel()
			if err != nil {
				wantErrorIs(w.t, err, context.DeadlineExceeded)
				break
			}
			n++
		}
		if n < 10 || n > 40 {
			w.t.Errorf("%d small records fill 10000 bytes, want 10 to 40", n)
		}
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			w.publish(p, calls, record("results", "k", fmt.Sprint(n)))
		}()
		time.Sleep(time.Minute)
		select {
		case <-accepted:
			w.t.Error("a record was accepted beyond MaxPendingBytes")
		default:
		}
		w.network.Mend()
		<-accepted
		mustClose(w.t, p)
		if got := w.read("results", 0); !slices.Equal(got, numbers(0, n+1)) {
			w.t.Errorf("read %q", got)
		}
	})
}

func TestPublisherCloseFlushes(t *testing.T) {
	inWorld(t, oneTopic(4), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		for i := range 1000 {
			w.publish(p, calls, record("results", fmt.Sprint(i), fmt.Sprint(i)))
		}
		mustClose(w.t, p)
		if calls.count(nil) != 1000 {
			w.t.Errorf("%d done after Close, want 1000", calls.count(nil))
		}
		err := p.Publish(w.t.Context(), record("results", "k", "late"), calls.done("late"))
		wantErrorIs(w.t, err, broker.ErrPublisherClosed)
		mustClose(w.t, p) // the second Close does nothing
	})
}

func TestPublisherCloseGivesUpWithItsContext(t *testing.T) {
	inWorld(t, oneTopic(4), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		w.network.Cut()
		for i := range 100 {
			w.publish(p, calls, record("results", fmt.Sprint(i), fmt.Sprint(i)))
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		err := p.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "100 records not published") {
			w.t.Errorf("close: %v", err)
		}
		wantErrorIs(w.t, err, context.DeadlineExceeded)
		if d := time.Since(begin); d != 20*time.Second {
			w.t.Errorf("closed after %v, want 20s", d)
		}
		if got := calls.count(broker.ErrPublisherClosed); got != 100 || len(calls.values()) != 100 {
			w.t.Errorf("%d of %d given up, want each of 100 once", got, len(calls.values()))
		}
	})
}

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}
