package store_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// by returns the options of one run.
func by(b *bulktest.Kafka, run string) store.Options {
	return store.Options{
		Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict",
		Author: ledger.Author{Actor: run, Host: "host of " + run, Run: run, Command: "submit"},
	}
}

func mustOpen(b *bulktest.Kafka, o store.Options) *store.Writer {
	b.Helper()
	w, err := store.Open(b.Context(), o, ledger.BatchKey("spring"))
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// step is a change of the batch: a row, and the checkpoint that counts it.
func step(row int64) store.Change {
	rec := bulktest.Decision(bulktest.BackfillTopic, int(row))
	rec.Partition = broker.ByKey
	return store.Change{
		Rows:    []decision.Record{rec},
		Entries: []store.KeyedEntry{{Key: ledger.BatchKey("spring"), Entry: ledger.Entry{Batch: &ledger.Batch{Done: row}}}},
		Acts:    []ledger.Act{{Key: "verdict/batch/spring", Details: map[string]string{"rows": fmt.Sprint(row)}}},
	}
}

func mustWrite(b *bulktest.Kafka, w *store.Writer, c store.Change) {
	b.Helper()
	if _, err := w.Write(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

func done(s *store.Writer) int64 {
	if e, ok := s.State().Batch("spring"); ok {
		return e.Batch.Done
	}
	return 0
}

func TestWriterWritesRowsAndCheckpointTogether(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		w := mustOpen(b, by(b, "a"))
		mustWrite(b, w, step(1))
		mustWrite(b, w, step(2))
		if n := done(w); n != 2 {
			b.Errorf("the writer's own state is at row %d, want 2", n)
		}
		read, err := store.Read(b.Context(), by(b, "reader"), nil)
		if err != nil {
			b.Fatal(err)
		}
		e, _ := read.Batch("spring")
		if e.Batch == nil || e.Batch.Done != 2 || e.Actor != "a" || e.At.IsZero() {
			b.Errorf("read %+v", e)
		}
		if rows, acts := len(b.All(bulktest.BackfillTopic)), b.All("audit"); rows != 2 || len(acts) != 2 {
			b.Errorf("%d rows, %d acts", rows, len(acts))
		} else if act, err := ledger.DecodeAct(acts[1].Value); err != nil || act.Actor != "a" || act.Details["rows"] != "2" {
			b.Errorf("act %+v, %v", act, err)
		}
	})
}

func TestTakenOverWriterWritesNothing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		a := mustOpen(b, by(b, "a"))
		mustWrite(b, a, step(1))
		second := mustOpen(b, by(b, "b"))
		if n := done(second); n != 1 {
			b.Errorf("the second begins at row %d, want 1", n)
		}
		mustWrite(b, second, step(2))
		if _, err := a.Write(b.Context(), step(2)); !errors.Is(err, broker.ErrFenced) {
			b.Errorf("the first wrote: %v", err)
		}
		if err := a.Recover(b.Context()); !store.IsTakenOver(err) {
			b.Errorf("the first goes on: %v", err)
		}
		mustWrite(b, second, step(3))
		if n := len(b.All(bulktest.BackfillTopic)); n != 3 {
			b.Errorf("%d rows, want 3", n)
		}
	})
}

func TestWriterGoesOnAfterAFailure(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		w := mustOpen(b, by(b, "a"))
		mustWrite(b, w, step(1))
		ended, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := w.Write(ended, step(2)); err == nil {
			b.Error("a write after its context's end succeeded")
		}
		if err := w.Recover(b.Context()); err != nil {
			b.Fatal(err)
		}
		if n := done(w); n != 1 {
			b.Errorf("at row %d after the failure, want 1", n)
		}
		mustWrite(b, w, step(2))
	})
}

func TestLedgerThatIsNoneIsRefused(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		if _, err := store.Read(b.Context(), by(b, "a"), nil); !errors.Is(err, store.ErrMissing) {
			b.Errorf("a missing ledger: %v", err)
		}
		if _, err := broker.Create(b.Context(), b.Conn.Client(), []broker.Topic{
			{Name: "two", Partitions: 2, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: "deleted", Partitions: 1, Configs: map[string]string{"cleanup.policy": "delete"}},
			{Name: "both", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact,delete"}},
		}); err != nil {
			b.Fatal(err)
		}
		for _, topic := range []string{"two", "deleted", "both"} {
			o := by(b, "a")
			o.Control = topic
			if _, err := store.Open(b.Context(), o, ledger.BatchKey("x")); err == nil || errors.Is(err, store.ErrMissing) {
				b.Errorf("%s: %v", topic, err)
			}
		}
	})
}

// A run that goes on with what another began finds out what became of its first Write.
func TestRecoverKnowsTheEntryThatItFound(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		mustWrite(b, mustOpen(b, by(b, "a")), step(1))
		w := mustOpen(b, by(b, "b"))
		ended, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := w.Write(ended, step(2)); err == nil {
			b.Error("a write after its context's end succeeded")
		}
		if err := w.Recover(b.Context()); err != nil {
			b.Fatal(err)
		}
		mustWrite(b, w, step(2))
	})
}

func TestRecoverWaitsOutAnOutage(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		w := mustOpen(b, by(b, "a"))
		mustWrite(b, w, step(1))
		b.Network.Cut()
		time.AfterFunc(5*time.Minute, func() { b.Network.Mend() })
		if _, err := w.Write(b.Context(), step(2)); err == nil {
			b.Error("a write without a network succeeded")
		}
		if err := w.Recover(b.Context()); err != nil {
			b.Fatal(err)
		}
		mustWrite(b, w, step(2))
		if rows := len(b.All(bulktest.BackfillTopic)); rows != 2 {
			b.Errorf("%d rows, want 2", rows)
		}
	})
}

func TestOpenCreatesAMissingAuditTopic(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		mustWrite(b, mustOpen(b, by(b, "a")), step(1))
		if err := b.Cluster.DeleteTopic("audit"); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute) // until the transport's metadata is read again
		mustWrite(b, mustOpen(b, by(b, "b")), step(2))
	})
}

func TestSignedCommandThatWasRemovedIsMissed(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.Fatal(err)
		}
		o := by(b, "ops")
		o.Sign, o.Trusted = private, ledger.Trusted{"ops": {public}}
		key := ledger.HoldLane(decision.Backfill)
		w, err := store.Open(b.Context(), o, key)
		if err != nil {
			b.Fatal(err)
		}
		for _, held := range []bool{true, false, true} {
			mustWrite(b, w, store.Change{
				Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Hold: &ledger.Hold{Held: held}}}},
				Acts:    []ledger.Act{{Key: key.In(o.Group)}},
			})
		}
		check := func(held, missing bool) {
			b.Helper()
			state, err := store.Read(b.Context(), o, nil)
			if err != nil {
				b.Fatal(err)
			}
			if state.Hold(key).Held != held || (len(state.Missing()) > 0) != missing {
				b.Errorf("held is %v, missing %v", state.Hold(key).Held, state.Missing())
			}
		}
		check(true, false)
		// Compaction leaves the last record, here one that nobody signed.
		o.Control = "compacted"
		if err := store.Ensure(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		check(false, true)
		b.Put(decision.Record{Topic: o.Control, Key: []byte(key.In(o.Group)), Value: []byte(`{"key":"verdict/hold/lane/backfill","at":"2026-11-12T09:00:00Z","actor":"ops","hold":{"held":false}}`)})
		check(false, true)
	})
}
