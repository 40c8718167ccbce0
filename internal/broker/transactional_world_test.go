package broker_test

import (
	"fmt"
	"testing"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// ledgerTopics is a cluster with what a command writes to: rows, and a checkpoint.
func ledgerTopics(brokers int) embedded.Options {
	return embedded.Options{Brokers: brokers, Topics: map[string]int{"rows": 4, "control": 1}}
}

// rows returns records to the topic rows with numbers as values, and a checkpoint.
func (w *world) rows(from, to int) []decision.Record {
	var records []decision.Record
	for i := from; i < to; i++ {
		rec := record(w.prefix+"rows", fmt.Sprint("key-", i), fmt.Sprint(i))
		rec.Partition = broker.ByKey
		records = append(records, rec)
	}
	return append(records, record(w.prefix+"control", "batch", fmt.Sprint(to)))
}

// committed returns the values of a topic's committed records.
func (w *world) committed(topic string) []string {
	w.t.Helper()
	var values []string
	if err := w.conn.Scan(w.t.Context(), broker.ScanOptions{Topic: w.prefix + topic}, func(rec decision.Record) error {
		values = append(values, string(rec.Value))
		return nil
	}); err != nil {
		w.t.Error(err)
	}
	return values
}

// checkpoint returns the last committed checkpoint.
func (w *world) checkpoint() (n int) {
	w.t.Helper()
	for _, value := range w.committed("control") {
		if _, err := fmt.Sscan(value, &n); err != nil {
			w.t.Error(err)
		}
	}
	return n
}

// wantWritten checks that the numbers below n are committed, each once, and the checkpoint
// says so.
func (w *world) wantWritten(n int) {
	w.t.Helper()
	wantNumbers(w.t, w.committed("rows"), 0, n)
	if got := w.checkpoint(); got != n {
		w.t.Errorf("the checkpoint is %d, want %d", got, n)
	}
}

func (w *world) takeOver(conn *broker.Connection) *broker.Transactional {
	w.t.Helper()
	tx, err := conn.NewTransactional(w.t.Context(), w.prefix+"batch")
	if err != nil {
		w.t.Fatal(err)
	}
	return tx
}

func mustWrite(t *testing.T, tx *broker.Transactional, records []decision.Record) []decision.Position {
	t.Helper()
	placed, err := tx.Write(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	return placed
}

// writeAll writes the numbers below n in transactions of 20, as a command does that goes on
// from its checkpoint. It has a few attempts.
func (w *world) writeAll(conn *broker.Connection, n int) {
	w.t.Helper()
	var failed error
	reported, doubtful := w.checkpoint(), 0
	for range 4 {
		tx, err := conn.NewTransactional(w.t.Context(), w.prefix+"batch")
		if failed = err; err != nil {
			continue
		}
		next := w.checkpoint()
		if next != reported && next != reported+doubtful {
			w.t.Errorf("the checkpoint is %d, want %d, or %d more", next, reported, doubtful)
		}
		for next < n && failed == nil {
			if _, failed = tx.Write(w.t.Context(), w.rows(next, next+20)); failed == nil {
				next += 20
			}
		}
		if failed == nil {
			return
		}
		reported, doubtful = next, 20
	}
	w.t.Errorf("not written: %v", failed)
}
