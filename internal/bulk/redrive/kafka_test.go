package redrive_test

import (
	"fmt"
	"maps"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
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

func options(b *bulktest.Kafka) redrive.Options {
	return redrive.Options{
		Connection: b.Conn, DeadLetters: bulktest.LettersTopic, Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Group: "verdict",
	}
}

// scanAndRun scans and runs a redrive.
func scanAndRun(b *bulktest.Kafka, o redrive.Options) (redrive.Survey, redrive.Summary) {
	b.Helper()
	r, err := redrive.New(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
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
