package control

import (
	"slices"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// world is a cluster with a ledger and what people and the service do with it.
type world struct{ *bulktest.Kafka }

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	bulktest.InKafka(t, func(b *bulktest.Kafka) { test(&world{b}) })
}

// by returns the ledger as one run of a command uses it.
func (w *world) by(run, command string) store.Options {
	return store.Options{
		Connection: w.Conn, Control: "control", Audit: "audit", Group: "verdict",
		Author: ledger.Author{Actor: run + "@backoffice", Host: "host of " + run, Run: run, Command: command, Why: "because of " + run},
	}
}

// options returns the group as a reader of its state sees it.
func (w *world) options() Options {
	return Options{
		Ledger:  w.by("reader", "batches"),
		Lanes:   []Lane{{"live", bulktest.LiveTopic}, {"backfill", bulktest.BackfillTopic}},
		Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic, Rate: 50,
	}
}

// put writes an entry of the ledger as its owner does.
func (w *world) put(o store.Options, key ledger.Key, e ledger.Entry) {
	w.Helper()
	writer, err := store.Open(w.Context(), o, key)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := writer.Write(w.Context(), store.Change{Entries: []store.KeyedEntry{{Key: key, Entry: e}}}); err != nil {
		w.Fatal(err)
	}
}

// begin registers a batch of the backfill topic whose run has its ID.
func (w *world) begin(id string, size int64) ledger.Batch {
	w.Helper()
	bounds, err := w.Conn.Bounds(w.Context(), bulktest.BackfillTopic)
	if err != nil {
		w.Fatal(err)
	}
	o := w.by(id, "submit")
	b := ledger.Batch{Topic: bulktest.BackfillTopic, Size: size, Began: time.Now(), Submitter: o.Author, Runs: []string{id}, Begin: make(map[int]int64)}
	for partition, bound := range bounds {
		b.Begin[partition] = bound.End
	}
	w.put(o, ledger.BatchKey(id), ledger.Entry{Batch: &b})
	return b
}

// send sends the decisions of a batch from one to another, and registers that; at its size
// it has ended. It returns their records as the service reads them, by line.
func (w *world) send(id string, b ledger.Batch, from, to int) []decision.Record {
	w.Helper()
	for i := from; i <= to; i++ {
		rec := bulktest.InBatch(bulktest.BackfillTopic, id, i, int(b.Size))
		rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(id)})
		w.Put(rec)
	}
	b.Sent, b.Done = int64(to), int64(to)
	if b.Sent == b.Size {
		b.Ended = time.Now()
	}
	w.put(w.by(id, "submit"), ledger.BatchKey(id), ledger.Entry{Batch: &b})
	var sent []decision.Record
	for _, rec := range w.All(bulktest.BackfillTopic) {
		if place, ok := decision.BatchPlaceOf(rec.Headers); ok && place.ID == id && place.Line >= int64(from) && place.Line <= int64(to) {
			sent = append(sent, rec)
		}
	}
	slices.SortFunc(sent, func(a, b decision.Record) int {
		first, _ := decision.BatchPlaceOf(a.Headers)
		second, _ := decision.BatchPlaceOf(b.Headers)
		return int(first.Line - second.Line)
	})
	return sent
}

// state reads the ledger.
func (w *world) state() *ledger.State {
	w.Helper()
	s, err := store.Read(w.Context(), w.by("reader", "test"), nil)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// acts returns who did what, as the audit topic has it.
func (w *world) acts() []ledger.Act {
	w.Helper()
	var all []ledger.Act
	if _, err := Acts(w.Context(), w.options(), AuditFilter{}, func(_ ledger.Key, a ledger.Act) error {
		all = append(all, a)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	return all
}
