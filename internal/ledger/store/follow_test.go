package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// following is a Follow that runs in the background.
type following struct {
	b   *bulktest.Kafka
	log bytes.Buffer // read once it has ended

	mu    sync.Mutex
	views []string // each condition, with the names of what changed
	why   error
	held  map[ledger.Key]bool
}

// watched are the keys that a following looks at.
var watched = []ledger.Key{ledger.HoldLane(decision.Live), ledger.HoldLane(decision.Backfill), ledger.HoldBatch("spring")}

// follow starts a Follow, and returns its stop.
func follow(b *bulktest.Kafka, o store.Options) (f *following, stop func()) {
	f = &following{b: b, held: make(map[ledger.Key]bool)}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		store.Follow(ctx, o, slog.New(slog.NewTextHandler(&f.log, nil)), func(v store.View) {
			f.mu.Lock()
			defer f.mu.Unlock()
			var text strings.Builder
			text.WriteString(string(v.Condition))
			for _, key := range v.Changed {
				text.WriteString(" " + key.Name)
			}
			f.views = append(f.views, text.String())
			f.why = v.Why
			for _, key := range watched {
				f.held[key] = v.State.Hold(key).Held
			}
		})
	})
	return f, func() { cancel(); running.Wait() }
}

// want waits for a view that stands at the end, at most d.
func (f *following) want(d time.Duration, view string) {
	f.b.Helper()
	got := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return strings.Join(f.views, ", ")
	}
	for began := time.Now(); got() != view; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > d {
			f.b.Fatalf("after %v the views are %q, want %q (%v)", d, got(), view, f.why)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.views = nil
}

// wantHeld wants these of watched to be held, and no others.
func (f *following) wantHeld(keys ...ledger.Key) {
	f.b.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range watched {
		want := false
		for _, k := range keys {
			want = want || k == key
		}
		if f.held[key] != want {
			f.b.Errorf("%v held: %v, want %v", key.Name, f.held[key], want)
		}
	}
}

// people returns the options of somebody who holds things.
func people(b *bulktest.Kafka) store.Options { return by(b, "ops") }

// hold writes a hold, or its end, as a command does.
func hold(b *bulktest.Kafka, o store.Options, key ledger.Key, held bool) {
	b.Helper()
	w, err := store.Open(b.Context(), o, key)
	if err != nil {
		b.Fatal(err)
	}
	mustWrite(b, w, store.Change{
		Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Hold: &ledger.Hold{Held: held}}}},
		Acts:    []ledger.Act{{Key: key.In(o.Group)}},
	})
}

// instance writes the entry of an instance, as `run` does.
func instance(b *bulktest.Kafka, o store.Options) {
	b.Helper()
	e := ledger.Entry{At: time.Now(), Instance: &ledger.Instance{}}
	value, err := e.Encode(o.Group, ledger.InstanceKey("x"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := o.Connection.Append(b.Context(), o.Control, 0, []decision.Record{{Key: []byte(ledger.InstanceKey("x").In(o.Group)), Value: value}}); err != nil {
		b.Fatal(err)
	}
}

// remove deletes topics.
func remove(b *bulktest.Kafka, topics ...string) {
	b.Helper()
	for _, topic := range topics {
		if err := b.Cluster.DeleteTopic(topic); err != nil {
			b.Fatal(err)
		}
	}
}

// ensure makes the topics of the ledger.
func ensure(b *bulktest.Kafka, o store.Options) {
	b.Helper()
	if err := store.Ensure(b.Context(), o); err != nil {
		b.Fatal(err)
	}
}

// afresh returns the options with a connection that has not seen any topic yet.
func afresh(b *bulktest.Kafka, o store.Options) (store.Options, func()) {
	b.Helper()
	c, err := broker.NewConnection(broker.Options{Brokers: b.Cluster.Addrs(), DialFunc: b.Network.DialContext})
	if err != nil {
		b.Fatal(err)
	}
	o.Connection = c
	return o, c.Close
}

var live, backfill, spring = watched[0], watched[1], watched[2]

func TestFollowTellsOfEveryChangeWithinASecond(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		hold(b, o, live, true)
		hold(b, o, spring, true)
		hold(b, o, live, false)
		f, stop := follow(b, o)
		defer stop()
		f.want(time.Second, "ok")
		f.wantHeld(spring)
		hold(b, o, backfill, true)
		f.want(time.Second, "ok lane/backfill")
		hold(b, o, spring, false)
		f.want(time.Second, "ok batch/spring")
		f.wantHeld(backfill)
		time.Sleep(time.Hour)
		f.want(0, "")
	})
}

func TestFollowWithoutALedger(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		f, stop := follow(b, o)
		defer stop()
		f.want(time.Second, "none")
		time.Sleep(time.Minute)
		f.want(0, "")
		ensure(b, o)
		f.want(10*time.Second, "ok")
		instance(b, o)
		f.want(time.Second, "ok x")
		hold(b, o, live, true)
		f.want(time.Second, "ok lane/live")
	})
}

func TestLedgerThatGoesIsLostAndWhatWasKnownStays(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		hold(b, o, spring, true)
		f, stop := follow(b, o)
		defer stop()
		f.want(time.Second, "ok")
		remove(b, o.Control)
		f.want(5*time.Second, "lost")
		f.wantHeld(spring)
		o, closed := afresh(b, o)
		defer closed()
		ensure(b, o) // empty: it still is
		instance(b, o)
		time.Sleep(time.Minute)
		f.want(0, "lost x")
		hold(b, o, live, true)
		f.want(5*time.Second, "ok lane/live")
		f.wantHeld(spring, live)
		hold(b, o, spring, false)
		f.want(time.Second, "ok batch/spring")
		f.wantHeld(live)
	})
}

// TestLedgerThatIsMadeAgainIsReadFromItsStart makes it again, with as many records, before
// anybody looked.
func TestLedgerThatIsMadeAgainIsReadFromItsStart(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.Fatal(err)
		}
		o := people(b)
		o.Sign, o.Trusted = private, ledger.Trusted{"ops": {public}}
		for range 3 {
			hold(b, o, spring, true)
		}
		f, stop := follow(b, o)
		f.want(time.Second, "ok")
		remove(b, o.Control, o.Audit)
		o, closed := afresh(b, o)
		defer closed()
		ensure(b, o)
		hold(b, o, backfill, true)
		hold(b, o, spring, false)
		for range 3 {
			hold(b, o, live, true)
		}
		time.Sleep(10 * time.Second)
		f.wantHeld(backfill, live)
		hold(b, o, live, false)
		time.Sleep(time.Second)
		f.wantHeld(backfill)
		stop()
	})
}

// TestSignedCommandsGoOnWhereTheControlTopicAloneIsMadeAgain has whoever reads it obey new
// commands, and no copy of an old one.
func TestSignedCommandsGoOnWhereTheControlTopicAloneIsMadeAgain(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.Fatal(err)
		}
		o := people(b)
		o.Sign, o.Trusted = private, ledger.Trusted{"ops": {public}}
		for _, held := range []bool{true, false, true} {
			hold(b, o, spring, held)
		}
		old := b.All(o.Control)
		f, stop := follow(b, o)
		defer stop()
		f.want(time.Second, "ok")
		remove(b, o.Control)
		f.want(5*time.Second, "lost")
		o, closed := afresh(b, o)
		defer closed()
		for _, held := range []bool{true, false, true, false} {
			hold(b, o, spring, held)
			hold(b, o, live, !held)
		}
		for _, rec := range old {
			b.Put(decision.Record{Topic: o.Control, Key: rec.Key, Value: rec.Value, Headers: rec.Headers})
		}
		time.Sleep(10 * time.Second)
		f.wantHeld(live)
		state, err := store.Read(b.Context(), o, nil)
		if err != nil {
			b.Fatal(err)
		}
		if state.Hold(spring).Held || !state.Hold(live).Held || len(state.Missing()) > 0 {
			b.Errorf("who starts later finds %+v, %+v, missing %v", state.Hold(spring), state.Hold(live), state.Missing())
		}
	})
}

func TestLedgerIsLostFromTheStartWhereTheAuditTopicKnowsOfIt(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		other := o
		other.Group = "another"
		hold(b, other, live, true)
		f, stop := follow(b, o)
		f.want(time.Second, "ok") // what another group did is not lost
		stop()

		hold(b, o, live, true)
		remove(b, o.Control)
		f, stop = follow(b, o)
		f.want(time.Second, "lost")
		stop()
		o, closed := afresh(b, o)
		defer closed()
		f, stop = follow(b, o)
		f.want(time.Second, "lost")
		ensure(b, o)
		time.Sleep(time.Minute)
		f.want(0, "")
		stop()

		f, stop = follow(b, o)
		defer stop()
		f.want(3*time.Second, "lost")
		hold(b, o, live, false)
		f.want(5*time.Second, "ok lane/live")
	})
}

func TestLedgerThatLacksASignedCommandIsLost(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.Fatal(err)
		}
		o := people(b)
		o.Sign, o.Trusted = private, ledger.Trusted{"ops": {public}}
		hold(b, o, spring, true)
		f, stop := follow(b, o)
		f.want(time.Second, "ok")
		stop()
		remove(b, o.Control)
		o, closed := afresh(b, o)
		defer closed()
		ensure(b, o)
		hold(b, o, live, true)
		f, stop = follow(b, o)
		defer stop()
		f.want(5*time.Second, "lost")
		if f.why == nil || !strings.Contains(f.why.Error(), "hold batch/spring") {
			b.Errorf("why: %v", f.why)
		}
		f.wantHeld(live)
	})
}

func TestLedgerThatCannotHoldOneIsLost(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		if err := b.Cluster.CreateTopic(o.Control, 2, map[string]string{"cleanup.policy": "compact"}); err != nil {
			b.Fatal(err)
		}
		f, stop := follow(b, o)
		defer stop()
		f.want(time.Second, "lost")
		if f.why == nil || !strings.Contains(f.why.Error(), "2 partitions") {
			b.Errorf("why: %v", f.why)
		}
	})
}

func TestLedgerIsLostWhileKafkaIsAway(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		hold(b, o, spring, true)
		b.Network.Cut(b.Cluster.Addrs()...)
		f, stop := follow(b, o)
		defer stop()
		f.want(20*time.Second, "lost")
		b.Network.Mend(b.Cluster.Addrs()...)
		f.want(5*time.Second, "ok batch/spring")
		f.wantHeld(spring)
		for _, away := range []time.Duration{8 * time.Second, time.Minute} {
			b.Network.Cut(b.Cluster.Addrs()...)
			time.Sleep(away)
			b.Network.Mend(b.Cluster.Addrs()...)
			time.Sleep(5 * time.Second)
			f.wantHeld(spring)
			if away > 10*time.Second {
				f.want(0, "lost, ok")
			} else {
				f.want(0, "")
			}
		}
	})
}

func TestRecordsThatCountForNothingAreSampled(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		o := people(b)
		ensure(b, o)
		f, stop := follow(b, o)
		f.want(time.Second, "ok")
		for range 100 {
			if _, err := b.Conn.Append(b.Context(), o.Control, 0, []decision.Record{{Key: []byte("verdict/hold/lane/live"), Value: []byte("hold")}}); err != nil {
				b.Fatal(err)
			}
		}
		synctest.Wait()
		time.Sleep(90 * time.Second)
		if _, err := b.Conn.Append(b.Context(), o.Control, 0, []decision.Record{{Key: []byte("verdict/hold/lane/live"), Value: []byte("hold")}}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		stop()
		f.want(0, "")
		if n := strings.Count(f.log.String(), "level=WARN"); n != 2 || !strings.Contains(f.log.String(), "records=100") {
			b.Errorf("%d lines:\n%s", n, f.log.String())
		}
	})
}
