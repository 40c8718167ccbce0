package redrive_test

import (
	"crypto/rand"
	"fmt"
	"maps"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// fail publishes n decisions, numbered from `from` on, and dead-letters them.
func fail(b *bulktest.Kafka, topic string, from, n int, reason decision.Reason) {
	b.Helper()
	records := make([]decision.Record, n)
	for i := range records {
		records[i] = bulktest.InBatch(topic, "b", from+i, 1000)
	}
	b.Put(records...)
	for _, rec := range b.All(topic) {
		d, err := decision.Decode(&rec)
		if err != nil {
			b.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscanf(d.ID, "d-%d", &number); err != nil {
			b.Fatal(err)
		}
		if number >= from && number < from+n && decision.Redrives(&rec) == 0 {
			b.Settle(rec, "", reason)
		}
	}
}

// options returns the options of a machine of its own.
func options(b *bulktest.Kafka) redrive.Options { return by(b, "ops") }

// by returns the options of an actor.
func by(b *bulktest.Kafka, actor string) redrive.Options {
	return redrive.Options{
		Ledger: store.Options{
			Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict",
			Author: ledger.Author{Actor: actor, Host: "host of " + actor, Run: rand.Text(), Command: "redrive", Why: "because"},
		},
		DeadLetters: bulktest.LettersTopic, Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic},
		Never: []string{bulktest.ResultsTopic, "control", "audit"},
	}
}

// begin makes a Redriver for another run with these options.
func begin(b *bulktest.Kafka, o redrive.Options) *redrive.Redriver {
	b.Helper()
	o.Ledger.Author.Run = rand.Text()
	r, err := redrive.New(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// scanAndRun scans and runs a redrive.
func scanAndRun(b *bulktest.Kafka, o redrive.Options) (redrive.Survey, redrive.Summary) {
	b.Helper()
	r := begin(b, o)
	survey, err := r.Scan(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	done, err := r.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return survey, done
}

// readLedger returns the ledger as it is now.
func readLedger(b *bulktest.Kafka) *ledger.State {
	b.Helper()
	state, err := store.Read(b.Context(), options(b).Ledger, nil)
	if err != nil {
		b.Fatal(err)
	}
	return state
}

// acts returns the acts of the audit topic.
func acts(b *bulktest.Kafka) (all []ledger.Act) {
	b.Helper()
	for _, rec := range b.All("audit") {
		act, err := ledger.DecodeAct(rec.Value)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, act)
	}
	return all
}

// copies counts the redriven copies in the topics, by the IDs of their decisions.
func copies(b *bulktest.Kafka) map[string]int {
	b.Helper()
	found := make(map[string]int)
	for _, topic := range []string{bulktest.LiveTopic, bulktest.BackfillTopic} {
		for _, rec := range b.All(topic) {
			if _, ok := decision.RedrivenFrom(&rec); ok {
				d, _ := decision.Decode(&rec)
				found[d.ID]++
			}
		}
	}
	return found
}

// wantCopies checks that each of these decisions was redriven once, and no other. Each
// pair is a first number and a count.
func wantCopies(b *bulktest.Kafka, numbers ...[2]int) {
	b.Helper()
	want := make(map[string]int)
	for _, span := range numbers {
		for i := span[0]; i < span[0]+span[1]; i++ {
			want[fmt.Sprint("d-", i)] = 1
		}
	}
	if got := copies(b); !maps.Equal(got, want) {
		b.Errorf("%d decisions were redriven, want %d, each once: %v", len(got), len(want), got)
	}
}
