package explain_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/explain"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"

	"github.com/twmb/franz-go/pkg/kgo"
)

func explainSubject(b *bulktest.Kafka, subject string, since time.Time) (explain.Explanation, error) {
	return explain.Explain(b.Context(), explain.Options{
		Connection: b.Conn, Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic, Group: "verdict", Since: since,
	}, subject)
}

// kinds returns what happened, in order.
func kinds(e explain.Explanation) string {
	var words []string
	for _, ev := range e.Events {
		words = append(words, strings.TrimSpace(fmt.Sprint(ev.Kind, " ", ev.Outcome, ev.Reason)))
	}
	return strings.Join(words, ", ")
}

func TestExplainListsADecisionsEventsInOrder(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 2), bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 2))
		for _, rec := range b.All(bulktest.BackfillTopic) {
			time.Sleep(time.Second)
			b.Settle(rec, "", decision.Rejected)
		}
		time.Sleep(time.Second)
		redriveAll(b)
		e, err := explainSubject(b, "d-1", time.Time{})
		if err != nil || kinds(e) != "submitted, dead_lettered rejected, redriven, pending" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		if last := e.Events[3]; !strings.Contains(last.Note, "has committed nothing") {
			b.Errorf("pending: %+v", last)
		}
		copied := e.Events[2].Origin
		commit := map[int]broker.GroupOffset{copied.Partition: {Offset: copied.Offset}}
		if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict", bulktest.BackfillTopic, commit); err != nil {
			b.Fatal(err)
		}
		if e, err = explainSubject(b, "d-1", time.Time{}); err != nil || !strings.Contains(e.Events[3].Note, "0 unsettled before it") {
			b.Errorf("%+v, %v", e, err)
		}

		time.Sleep(time.Second)
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if decision.Redrives(&rec) == 1 {
				b.Settle(rec, decision.Completed, "")
			}
		}
		e, err = explainSubject(b, "d-1", time.Time{})
		if err != nil || kinds(e) != "submitted, dead_lettered rejected, redriven, settled completed" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		letter := e.Events[1]
		if letter.Error != "that is why" || letter.Attempts != 2 || letter.HTTPStatus != 422 || letter.BatchID != "b" || letter.BatchLine != 1 {
			b.Errorf("%+v", letter)
		}

		// The task, and the place of the first record, give the same.
		task := bulktest.MustDecode(t, bulktest.Decision("", 1)).Task
		for _, subject := range []string{strings.ToUpper(task.ProfileID) + "/" + task.TaskID, e.Events[0].Origin.String()} {
			again, err := explainSubject(b, subject, time.Time{})
			if err != nil || kinds(again) != kinds(e) {
				b.Errorf("%s: %s, %v", subject, kinds(again), err)
			}
		}
	})
}

// TestExplainTellsWhatTheCommitTells has a commit whose metadata knows more of the records
// beyond its offset.
func TestExplainTellsWhatTheCommitTells(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		one := bulktest.Decision(bulktest.LiveTopic, 1)
		one.Key = []byte("k") // all in one partition
		for range 6 {
			b.Put(one)
		}
		all := b.All(bulktest.LiveTopic)
		first := all[0].Origin()
		settled := offsets.NewTracker(first.Offset)
		for _, rec := range all {
			settled.Track(rec.Offset)
		}
		settled.Settle(all[1].Offset)
		settled.Settle(all[3].Offset)
		metadata := offsets.Encode(settled, map[int64]decision.Progress{
			all[2].Offset: {Attempts: 3}, all[4].Offset: {Attempts: 5, MaybeApplied: true},
		}, offsets.DefaultMetadataSize)
		for _, meta := range []struct {
			text  string
			notes []string
		}{
			{metadata, []string{
				" 0 unsettled before it", "did retention delete it?", " 1 unsettled before it; it failed and is tried again",
				"did retention delete it?", " 2 unsettled before it; it failed and is tried again, after a look at the task", " 3 unsettled before it",
			}},
			{"of another program", []string{" 0 unsettled", " 1 unsettled", " 2 unsettled", " 3 unsettled", " 4 unsettled", " 5 unsettled"}},
		} {
			commit := map[int]broker.GroupOffset{first.Partition: {Offset: first.Offset, Metadata: meta.text}}
			if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict", bulktest.LiveTopic, commit); err != nil {
				b.Fatal(err)
			}
			e, err := explainSubject(b, "d-1", time.Time{})
			if err != nil {
				b.Fatal(err)
			}
			pending := make(map[int64]explain.Event)
			for _, ev := range e.Events {
				if ev.Kind == explain.EventPending {
					pending[ev.Origin.Offset] = ev
				}
			}
			for i, want := range meta.notes {
				ev := pending[all[i].Offset]
				if !strings.Contains(ev.Note, want) {
					b.Errorf("%d: %q, want %q", i, ev.Note, want)
				}
				if n := map[int]int{2: 3, 4: 5}[i]; meta.text == metadata && ev.Attempts != n {
					b.Errorf("%d: %d attempts, want %d", i, ev.Attempts, n)
				}
			}
		}
	})
}

func TestExplainSearchesBackToSince(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		rec := bulktest.Decision(bulktest.LiveTopic, 1)
		rec.Value = []byte(strings.Replace(string(rec.Value), `"id":"d-1",`, "", 1)) // no ID of its own
		b.Put(rec)
		rec = b.All(bulktest.LiveTopic)[0]
		time.Sleep(time.Hour)
		b.Settle(rec, decision.AlreadyComplete, "")
		time.Sleep(2 * time.Hour)
		since := time.Now().Add(-90 * time.Minute)
		// By its place it is found whatever its age.
		e, err := explainSubject(b, rec.Origin().String(), since)
		if err != nil || kinds(e) != "submitted, settled already_complete" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		d := bulktest.MustDecode(t, rec)
		if _, err := explainSubject(b, d.Task.ProfileID+"/"+d.Task.TaskID, since); !errors.Is(err, explain.ErrNotFound) {
			b.Errorf("%v", err)
		}
		for _, nothing := range []string{"d-1", "nobody", bulktest.LiveTopic + "/0/99", bulktest.LiveTopic + "/77/0", "no/such/topic", "a/1/2"} {
			if _, err := explainSubject(b, nothing, time.Time{}); !errors.Is(err, explain.ErrNotFound) {
				b.Errorf("%s: %v", nothing, err)
			}
		}
	})
}

// redriveAll sends every dead letter back.
func redriveAll(b *bulktest.Kafka) {
	b.Helper()
	r, err := redrive.New(b.Context(), redrive.Options{
		Ledger:      store.Options{Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict", Author: ledger.Author{Run: rand.Text()}},
		DeadLetters: bulktest.LettersTopic, Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic},
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// TestExplainOfARecordWithoutATime names a decision by its place. Its producer sent the
// timestamp 0 or -1, which Kafka's look-up of times takes for something else.
func TestExplainOfARecordWithoutATime(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(0), time.UnixMilli(-1), time.UnixMilli(1)} {
		bulktest.InKafka(t, func(b *bulktest.Kafka) {
			rec := bulktest.Decision(bulktest.LiveTopic, 1)
			rec.Time = at
			b.Put(rec)
			rec = b.All(bulktest.LiveTopic)[0]
			b.Settle(rec, decision.Completed, "")
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			e, err := explain.Explain(ctx, explain.Options{
				Connection: b.Conn, Decisions: []string{bulktest.LiveTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic, Since: time.Now(),
			}, rec.Origin().String())
			if err != nil || kinds(e) != "submitted, settled completed" {
				b.Errorf("%v: %s, %v", at, kinds(e), err)
			}
		})
	}
}

// A decision in a transaction that is still open can't be read, so explain can only say
// that there is something.
func TestExplainNamesWhatWaitsBehindAnOpenTransaction(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 2))
		c, err := kgo.NewClient(kgo.SeedBrokers(b.Cluster.Addrs()...), kgo.Dialer(b.Network.DialContext),
			kgo.TransactionalID("open"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if err := c.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		for range 2 {
			if err := c.ProduceSync(b.Context(), &kgo.Record{Topic: bulktest.LiveTopic, Partition: 1, Value: []byte("{}")}).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
		want := []explain.Behind{{From: decision.Position{Topic: bulktest.LiveTopic, Partition: 1}, Records: 2}}
		if e, err := explainSubject(b, "d-2", time.Time{}); !errors.Is(err, explain.ErrNotFound) || !slices.Equal(e.Behind, want) {
			b.Errorf("%+v, %v", e.Behind, err)
		}
		if e, err := explainSubject(b, "d-1", time.Time{}); err != nil || !slices.Equal(e.Behind, want) {
			b.Errorf("%+v, %v", e.Behind, err)
		}
		if err := c.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
			b.Fatal(err)
		}
		if e, err := explainSubject(b, "d-1", time.Time{}); err != nil || len(e.Behind) != 0 {
			b.Errorf("%+v, %v", e.Behind, err)
		}
	})
}

// A topic that was deleted and made again has a new decision where another was.
func TestExplainIgnoresEndsOfAnotherDecisionAtTheSamePlace(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.Decision(bulktest.LiveTopic, 1))
		rec := b.All(bulktest.LiveTopic)[0]
		b.Settle(bulktest.BeforeAt(rec, bulktest.Decision("", 2)), decision.Completed, "")
		b.Settle(bulktest.BeforeAt(rec, bulktest.Decision("", 3)), "", decision.Rejected)
		task := bulktest.MustDecode(b, rec).Task
		for subject, want := range map[string]string{
			"d-1": "submitted, pending", task.ProfileID + "/" + task.TaskID: "submitted, pending", rec.Origin().String(): "submitted, pending",
			"d-2": "settled completed", "d-3": "dead_lettered rejected",
		} {
			if e, err := explainSubject(b, subject, time.Time{}); err != nil || kinds(e) != want {
				b.Errorf("%s: %s, want %s; %v", subject, kinds(e), want, err)
			}
		}
	})
}

// Decisions without IDs of their own have the ID of their place.
func TestExplainKeepsDecisionsWithOnePlaceAsTheirIDApart(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		withoutID := func(i int) decision.Record {
			rec := bulktest.Decision(bulktest.LiveTopic, i)
			rec.Value = []byte(strings.Replace(string(rec.Value), fmt.Sprintf(`"id":"d-%d",`, i), "", 1))
			return rec
		}
		b.Put(withoutID(1))
		rec := b.All(bulktest.LiveTopic)[0]
		b.Settle(bulktest.BeforeAt(rec, withoutID(2)), decision.Completed, "")
		if e, err := explainSubject(b, rec.Origin().String(), time.Time{}); err != nil || kinds(e) != "submitted, pending" {
			b.Errorf("%s, %v", kinds(e), err)
		}
	})
}
