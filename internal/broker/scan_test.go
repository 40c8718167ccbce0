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
)

// store publishes n records to a topic, with keys so that every partition gets some.
func (w *world) store(topic string, from, n int) {
	w.t.Helper()
	p, calls := w.publisher(broker.PublisherOptions{})
	for i := from; i < from+n; i++ {
		w.publish(p, calls, record(topic, fmt.Sprint("key-", i), fmt.Sprint(i)))
	}
	mustClose(w.t, p)
}

// scan returns the values that a scan gives, and its error.
func (w *world) scan(ctx context.Context, o broker.ScanOptions) ([]string, error) {
	var values []string
	last := map[int]int64{}
	err := w.conn.Scan(ctx, o, func(rec decision.Record) error {
		if before, ok := last[rec.Partition]; ok && rec.Offset <= before {
			w.t.Errorf("%s comes after offset %d", rec.Origin(), before)
		}
		last[rec.Partition] = rec.Offset
		values = append(values, string(rec.Value))
		return nil
	})
	return values, err
}

// wantNumbers checks that got has each of the n numbers from, from+1, … once, in
// any order.
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

func TestScanGivesEachRecordOnceAndEnds(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 3, Topics: map[string]int{"a": 40, "one": 2, "none": 3}}, func(w *world) {
		t := w.t
		w.store("a", 0, 5000)
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		if err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, got, 0, 5000)

		w.store("one", 7, 1) // the other partition is empty
		if got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "one"}); err != nil || !slices.Equal(got, []string{"7"}) {
			t.Errorf("%q, %v", got, err)
		}
		if got, err = w.scan(t.Context(), broker.ScanOptions{Topic: "none"}); err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestScanKeepsRecordsByteForByte(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 2}}, func(w *world) {
		t := w.t
		p, calls := w.publisher(broker.PublisherOptions{})
		at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		w.publish(p, calls,
			decision.Record{Topic: "a", Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []decision.Header{
				{Key: "h", Value: []byte("1")}, {Key: "h"}, {Key: "", Value: []byte{}}}},
			decision.Record{Topic: "a", Key: []byte("k")},
			decision.Record{Topic: "a", Key: []byte("k"), Value: []byte{}})
		mustClose(t, p)
		var all []decision.Record
		if err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a"}, func(rec decision.Record) error {
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

func TestScanBeginsAndEndsAsAsked(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1, "b": 3}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		time.Sleep(time.Hour)
		cut := time.Now()
		w.store("a", 10, 10)
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
			"a single record":        {broker.ScanOptions{Offsets: map[int]int64{0: 7}, Ends: map[int]int64{0: 8}}, 7, 1},
		} {
			test.o.Topic = "a"
			got, err := w.scan(t.Context(), test.o)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantNumbers(t, got, test.from, test.n)
		}

		w.store("b", 0, 100)
		got, err := w.scan(t.Context(), broker.ScanOptions{Topic: "b", Partitions: []int{1}})
		if err != nil || len(got) != int(w.cluster.HighWatermark("b", 1)) {
			t.Errorf("partition 1 has %d records, got %d, %v", w.cluster.HighWatermark("b", 1), len(got), err)
		}
		if _, err = w.scan(t.Context(), broker.ScanOptions{Topic: "b", Partitions: []int{3}}); err == nil || !strings.Contains(err.Error(), "only 0 to 2") {
			t.Errorf("a partition that does not exist: %v", err)
		}
	})
}

func TestScanFollowsUntilStopped(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		n := 0
		err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true}, func(decision.Record) error {
			n++
			switch n {
			case 10:
				time.AfterFunc(time.Minute, func() { w.store("a", 10, 10) })
			case 20:
				return broker.ErrStopScan
			}
			return nil
		})
		if err != nil || n != 20 {
			t.Errorf("%d records, %v, want 20", n, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		got, err := w.scan(ctx, broker.ScanOptions{Topic: "a", Follow: true})
		wantErrorIs(t, err, context.DeadlineExceeded)
		wantNumbers(t, got, 0, 20)
		if time.Since(began) != time.Minute {
			t.Errorf("ended after %v, want 1m", time.Since(began))
		}
	})
}

func TestScanEndsWithItsCallbacksError(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 3}}, func(w *world) {
		t := w.t
		w.store("a", 0, 100)
		mine := errors.New("mine")
		n := 0
		err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a"}, func(decision.Record) error {
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

func TestScanWaitsOutLeaderMovesAndOutages(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 3, Topics: map[string]int{"a": 6}}, func(w *world) {
		t := w.t
		w.store("a", 0, 1000)
		w.cluster.Inject(embedded.Fault{API: embedded.ListOffsets, Topic: "a", Code: int(kafka.NotLeaderForPartition), Times: 3})
		w.cluster.Inject(embedded.Fault{API: embedded.Fetch, Topic: "a", Code: int(kafka.LeaderNotAvailable), Times: 9})
		var failures int
		n := 0
		var values []string
		err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true, Retrying: func(error) { failures++ }}, func(rec decision.Record) error {
			values = append(values, string(rec.Value))
			switch n++; n {
			case 300:
				w.cluster.MoveLeaders()
			case 1000:
				go func() {
					w.network.Cut()
					time.Sleep(time.Minute)
					w.network.Mend()
					w.store("a", 1000, 100)
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
			t.Errorf("Retrying was called %d times, want at least the 12 injected faults", failures)
		}
	})
}

func TestScanFailsOnPermanentErrors(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		_, err := w.scan(t.Context(), broker.ScanOptions{Topic: "b"})
		wantErrorIs(t, err, broker.ErrNoTopic)
		if err == nil || !strings.Contains(err.Error(), "verdict topics") {
			t.Errorf("a missing topic: %v", err)
		}
		fault := w.cluster.Inject(embedded.Fault{API: embedded.Fetch, Topic: "a", Code: int(kafka.TopicAuthorizationFailed)})
		_, err = w.scan(t.Context(), broker.ScanOptions{Topic: "a"})
		wantErrorIs(t, err, kafka.TopicAuthorizationFailed)
		fault.Lift()
	})
}

func TestScanEndsWhenItsTopicIsDeleted(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}}, func(w *world) {
		t := w.t
		w.store("a", 0, 10)
		began := time.Now()
		n := 0
		err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: "a", Follow: true}, func(decision.Record) error {
			if n++; n == 10 {
				return w.cluster.DeleteTopic("a")
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "does the topic exist?") {
			t.Errorf("error %v does not ask for the topic", err)
		}
		if took := time.Since(began); took < 30*time.Second || took > 2*time.Minute {
			t.Errorf("ended after %v, want 30s to 2m", took)
		}
	})
}
