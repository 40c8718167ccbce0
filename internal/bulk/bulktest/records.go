package bulktest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// Decision returns the record of the ith decision.
func Decision(topic string, i int, headers ...decision.Header) decision.Record {
	profile := fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", i, i)
	return decision.Record{
		Topic: topic, Key: []byte(profile), Headers: headers,
		Value: fmt.Appendf(nil, `{"id":"d-%d","profile_id":%q,"task_id":"%08x-dddd-eeee-ffff-%012x","state":"COMPLETED_PASS"}`, i, profile, i, i),
	}
}

// InBatch returns the record of the ith decision of a batch as submit sends it.
func InBatch(topic, batch string, i, size int) decision.Record {
	return Decision(topic, i, decision.BatchPlace{ID: batch, Line: int64(i), Size: int64(size)}.Headers()...)
}

// Named returns the record of the ith decision with its batch only in its value.
func Named(topic, batch string, i int) decision.Record {
	rec := Decision(topic, i)
	rec.Value = append(rec.Value[:len(rec.Value)-1], fmt.Sprintf(`,"batch_id":%q}`, batch)...)
	return rec
}

// Settle publishes what the service would for a record: a result, or if there is
// a reason, a dead letter.
func (b *Kafka) Settle(rec decision.Record, outcome decision.Outcome, reason decision.Reason) {
	b.Helper()
	d, err := decision.Decode(&rec)
	key := ""
	if err == nil {
		key = d.Identity().String()
	}
	if reason != "" {
		letter := decision.DeadLetter{Reason: reason, Error: "that is why", HTTPStatus: 422, Attempts: 2, DecisionID: d.ID, DecisionKey: key, FailedAt: decision.Time{Time: time.Now()}, Instance: "x"}
		b.Put(letter.Encode(LettersTopic, &rec))
		return
	}
	result := decision.Result{
		DecisionID: d.ID, DecisionKey: key, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Outcome: outcome, Attempts: 1, HTTPStatus: 200,
		ReceivedAt: decision.Time{Time: time.Now()}, CompletedAt: decision.Time{Time: time.Now()}, BatchID: d.BatchID, Origin: rec.Origin(),
	}
	b.Put(result.Encode(ResultsTopic, rec.Key))
}

// BeforeAt returns a record as if it had been read where at is, before the topic was deleted
// and made again.
func BeforeAt(at, rec decision.Record) decision.Record {
	rec.Topic, rec.Partition, rec.Offset, rec.Time = at.Topic, at.Partition, at.Offset, at.Time.Add(-time.Hour)
	return rec
}

// MustDecode decodes a valid decision.
func MustDecode(t testing.TB, rec decision.Record) decision.Decision {
	t.Helper()
	d, err := decision.Decode(&rec)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// DecisionLines returns n valid decisions as JSON Lines, each on a task of its own.
func DecisionLines(t testing.TB, n int, seed uint64) string {
	t.Helper()
	g, err := rows.NewGenerator(rows.GeneratorOptions{Seed: seed, Repeated: -1, Profiles: 50})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for range n {
		row, err := g.Next()
		if err != nil {
			t.Fatal(err)
		}
		b.Write(row.Value)
		b.WriteByte('\n')
	}
	return b.String()
}
