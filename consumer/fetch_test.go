package consumer_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/internal/decision"
)

// The head waits while more than a bitmap could carry settles behind it. The next
// owner repeats none of it, and does not even read it.
func TestSlowDecisionHoldsNothingBack(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		const n = 60000
		fast := func(rec decision.Record) bool { return rec.Offset != 0 && rec.Offset != n/2 }
		a := w.newMember("a")
		a.settles = fast
		a.start()
		for sent := 0; sent < n; sent += 10000 {
			w.produce(0, numbers(sent, 10000)...)
		}
		a.awaitAccepted(n)
		a.stop()
		if got := w.committed(0); got != 0 {
			t.Fatalf("committed %d, though the head is open", got)
		}

		var mu sync.Mutex
		fetched := make(map[int64]bool)
		w.cluster.Kfake().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.Kfake().KeepControl()
			mu.Lock()
			defer mu.Unlock()
			fetched[req.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset] = true
			return nil, nil, false
		})
		b := w.newMember("b").start()
		w.produce(0, "new")
		b.awaitAccepted(3)
		w.awaitCommitted(0, n+1)
		if got := b.values(); !slices.Equal(got, []string{"0", fmt.Sprint(n / 2), "new"}) {
			t.Errorf("the next owner accepted %d records, want the two that were open and the new one", len(got))
		}
		mu.Lock()
		defer mu.Unlock()
		if !fetched[n/2] || !fetched[n] {
			t.Errorf("fetched from %v, want to skip what is settled: from %d and from %d", slices.Sorted(maps.Keys(fetched)), n/2, n)
		}
		b.stop()
	})
}

func TestFetchHandsOverRecordsWhole(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
		_, err := w.conn.Append(t.Context(), topic, 0, []decision.Record{
			{Key: []byte{0, 0xff}, Value: []byte("v\x00"), Time: at, Headers: []decision.Header{{Key: "a", Value: []byte("1")}, {Key: "a"}}},
			{},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := w.newMember("m").start()
		m.awaitAccepted(2)
		r := m.all()[0].rec
		if r.Topic != topic || r.Partition != 0 || r.Offset != 0 || string(r.Key) != "\x00\xff" || string(r.Value) != "v\x00" || !r.Time.Equal(at) {
			t.Errorf("accepted %+v", r)
		}
		if len(r.Headers) != 2 || r.Headers[0].Key != "a" || string(r.Headers[0].Value) != "1" || r.Headers[1].Value != nil {
			t.Errorf("headers %+v", r.Headers)
		}
		if r := m.all()[1].rec; r.Offset != 1 || r.Key != nil || r.Value != nil || r.Headers != nil {
			t.Errorf("accepted %+v, want nothing but its offset", r)
		}
		m.stop()
	})
}

func TestFetchSettlesMarkersOfTransactions(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		c, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.Addrs()...), kgo.Dialer(w.network.DialContext),
			kgo.TransactionalID("sender"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m := w.newMember("m").start()
		for _, value := range numbers(0, 3) {
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		w.awaitCommitted(0, 6) // three records and three markers
		if got := m.values(); !slices.Equal(got, numbers(0, 3)) {
			t.Errorf("accepted %q, want the three records alone", got)
		}
		m.stop()
	})
}

func TestFetchPassesCompactedRecords(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		if err := w.cluster.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		var records []decision.Record
		for key := range strings.SplitSeq("z a b c a b d a e y x x", " ") {
			records = append(records, decision.Record{Key: []byte(key), Value: []byte(key)})
		}
		for batch := range slices.Chunk(records, 2) {
			if _, err := w.conn.Append(t.Context(), topic, 0, batch); err != nil {
				t.Fatal(err)
			}
		}
		w.cluster.Kfake().Compact() // but for the last batch
		// The gap behind the commit is committed, though nothing settles.
		w.commit(0, 1, "")
		m := w.newMember("holds").hold().start()
		m.awaitAccepted(8)
		m.stop()
		if got := w.committed(0); got != 3 {
			t.Errorf("committed %d, want 3, the first record that is left", got)
		}
		m = w.newMember("m").start()
		w.awaitCommitted(0, 12)
		if got := strings.Join(m.values(), " "); got != "c b d a e y x x" {
			t.Errorf("accepted %s, want c b d a e y x x", got)
		}
		m.stop()
	})
}

func TestFetchWaitsWhileTheSpanIsFull(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.newMember("m").hold().start(func(o *consumer.Options) { o.MaxUncommitted = 10 })
		w.produce(0, numbers(0, 30)...)
		m.awaitAccepted(10)
		time.Sleep(time.Minute)
		if n := len(m.all()); n != 10 {
			t.Errorf("%d records accepted, want the span of 10", n)
		}
		// One that settles beyond the first makes no room; the first makes room
		// for both.
		claim := m.all()[0].claim
		claim.Settle(1)
		time.Sleep(time.Minute)
		if n := len(m.all()); n != 10 {
			t.Errorf("%d records accepted while the first is open, want 10", n)
		}
		claim.Settle(0)
		m.awaitAccepted(12)
		time.Sleep(time.Minute)
		if n := len(m.all()); n != 12 {
			t.Errorf("%d records accepted, want 12", n)
		}
		// The other partition does not wait.
		w.produce(1, "other")
		m.awaitAccepted(13)
		w.await(time.Minute, "everything is accepted and committed", func() bool {
			m.settleAll()
			return w.committed(0) == 30 && w.committed(1) == 1
		})
		m.stop()
	})
}

func TestFetchEndsWhenAcceptFails(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.newMember("m")
		m.accepts = func(rec decision.Record) error {
			if rec.Partition == 0 && rec.Offset == 1 {
				return errors.New("not taken")
			}
			return nil
		}
		m.start()
		w.produce(0, numbers(0, 3)...)
		w.produce(1, numbers(10, 3)...)
		m.awaitAccepted(4)
		time.Sleep(time.Minute)
		w.wantEvents([]string{"m accept 0/0"}, "accept 0/")
		m.stop()
		if got := w.committed(0); got != 1 {
			t.Errorf("committed %d, want 1: offset 1 was not taken", got)
		}
	})
}
