package service_test

import (
	"fmt"
	"slices"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// ledgerOptions returns where the world's ledger is, for one run of a command.
func (w *world) ledgerOptions(command string) store.Options {
	t := w.cfg.Kafka.Topics
	w.runs++
	return store.Options{
		Connection: w.client, Control: t.Control, Audit: t.Audit, Group: w.cfg.Kafka.GroupID,
		Author: ledger.Author{Actor: "ops", Host: "desk", Run: fmt.Sprintf("%s-%d", command, w.runs), Command: command, Why: "a test"},
	}
}

// submitBatch sends decisions as a submit does: with the batch in the ledger, and each with the run
// that wrote it, which it returns.
func (w *world) submitBatch(batch string, records []outgoing) (run string) {
	w.t.Helper()
	o := w.ledgerOptions("submit")
	key := ledger.BatchKey(batch)
	writer, err := store.Open(w.t.Context(), o, key)
	if err != nil {
		w.t.Fatal(err)
	}
	done := int64(0)
	for chunk := range slices.Chunk(records, 1000) {
		done += int64(len(chunk))
		change := store.Change{
			Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Batch: &ledger.Batch{Topic: chunk[0].topic, Size: int64(len(records)), Runs: []string{o.Author.Run}, Done: done, Sent: done}}}},
			Acts:    []ledger.Act{{Key: key.In(o.Group)}},
		}
		for _, r := range chunk {
			change.Rows = append(change.Rows, decision.Record{
				Topic: r.topic, Partition: broker.ByKey, Key: []byte(r.key), Value: []byte(r.value), Time: time.Now(),
				Headers: []decision.Header{{Key: decision.HeaderRun, Value: []byte(o.Author.Run)}},
			})
		}
		placed, err := writer.Write(w.t.Context(), change)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, at := range placed {
			w.submitted[at] = sent{chunk[i].task, chunk[i].state}
		}
	}
	return o.Author.Run
}

// order writes an entry of the ledger as a command does.
func (w *world) order(command string, key ledger.Key, e ledger.Entry) {
	w.t.Helper()
	o := w.ledgerOptions(command)
	writer, err := store.Open(w.t.Context(), o, key)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := writer.Write(w.t.Context(), store.Change{Entries: []store.KeyedEntry{{Key: key, Entry: e}}, Acts: []ledger.Act{{Key: key.In(o.Group)}}}); err != nil {
		w.t.Fatal(err)
	}
}

// hold holds something, or lets it go on.
func (w *world) hold(key ledger.Key, held bool) {
	w.t.Helper()
	command := "resume"
	if held {
		command = "hold"
	}
	w.order(command, key, ledger.Entry{Hold: &ledger.Hold{Held: held}})
}

// cancelBatch cancels what a batch has in a topic up to now. What was held stays held, and so may
// be what is cancelled. It returns the ends that it notes.
func (w *world) cancelBatch(batch, topic string, held bool) map[int]int64 {
	w.t.Helper()
	ends, err := w.client.LogEnds(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	w.order("cancel", ledger.HoldBatch(batch), ledger.Entry{Hold: &ledger.Hold{Held: held, Cancelled: map[string]map[int]int64{topic: ends}}})
	return ends
}

// orderRate sets the group's rate for a while; 0: until another.
func (w *world) orderRate(perSecond float64, d time.Duration) {
	w.t.Helper()
	r := ledger.Rate{PerSecond: perSecond}
	if d > 0 {
		r.Until = time.Now().Add(d)
	}
	w.order("rate", ledger.RateKey(), ledger.Entry{Rate: &r})
}

// completed returns how many tasks whose numbers are from first to before end were completed.
func (w *world) completed(first, end int) (n int) {
	for i := first; i < end; i++ {
		n += w.api.Completions(task(i, 0).ProfileID, task(0, i).TaskID)
	}
	return n
}

// passesFrom returns n decisions on tasks and profiles of their own, from number first on.
func passesFrom(topic string, first, n int) []outgoing {
	records := make([]outgoing, n)
	for i := range records {
		records[i] = decisionOn(topic, task(first+i, first+i), decision.CompletedPass)
	}
	return records
}
