package explain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/explain"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
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
		if e, err = explainSubject(b, "d-1", time.Time{}); err != nil || !strings.Contains(e.Events[3].Note, "0 offsets before it") {
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
		Connection: b.Conn, DeadLetters: bulktest.LettersTopic, Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Group: "verdict",
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}
