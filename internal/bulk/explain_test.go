package backfill_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	backfill "verdict/internal/bulk"
	"verdict/internal/decision"
)

func (b *kafkaBench) explain(subject string, since time.Time) (backfill.Explanation, error) {
	return backfill.Explain(b.Context(), backfill.ExplainOptions{
		Connection: b.conn, Decisions: []string{liveTopic, backfillTopic}, Results: resultsTopic, DeadLetters: lettersTopic, Group: "verdict", Since: since,
	}, subject)
}

// kinds are what happened, in order.
func kinds(e backfill.Explanation) string {
	var words []string
	for _, ev := range e.Events {
		words = append(words, strings.TrimSpace(fmt.Sprint(ev.Kind, " ", ev.Outcome, ev.Reason)))
	}
	return strings.Join(words, ", ")
}

func TestExplainTellsADecisionsStoryInOrder(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.put(inBatch(backfillTopic, "b", 1, 2), inBatch(backfillTopic, "b", 2, 2))
		for _, rec := range b.all(backfillTopic) {
			time.Sleep(time.Second)
			b.settle(rec, "", decision.Rejected)
		}
		time.Sleep(time.Second)
		b.redrive(b.redriveOptions())
		e, err := b.explain("d-1", time.Time{})
		if err != nil || kinds(e) != "submitted, dead_lettered rejected, redriven, pending" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		if last := e.Events[3]; !strings.Contains(last.Note, "has committed nothing") {
			b.Errorf("pending: %+v", last)
		}
		copied := e.Events[2].Origin
		commit := map[int]broker.GroupOffset{copied.Partition: {Offset: copied.Offset}}
		if err := b.conn.CommitGroupOffsets(b.Context(), "verdict", backfillTopic, commit); err != nil {
			b.Fatal(err)
		}
		if e, err = b.explain("d-1", time.Time{}); err != nil || !strings.Contains(e.Events[3].Note, "0 before it") {
			b.Errorf("%+v, %v", e, err)
		}

		time.Sleep(time.Second)
		for _, rec := range b.all(backfillTopic) {
			if decision.Redrives(&rec) == 1 {
				b.settle(rec, decision.Completed, "")
			}
		}
		e, err = b.explain("d-1", time.Time{})
		if err != nil || kinds(e) != "submitted, dead_lettered rejected, redriven, settled completed" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		letter := e.Events[1]
		if letter.Error != "that is why" || letter.Attempts != 2 || letter.HTTPStatus != 422 || letter.BatchID != "b" || letter.BatchLine != 1 {
			b.Errorf("%+v", letter)
		}

		// The task, and the place of the first record, tell the same.
		task := mustDecode(t, decided("", 1)).Task
		for _, subject := range []string{strings.ToUpper(task.ProfileID) + "/" + task.TaskID, e.Events[0].Origin.String()} {
			again, err := b.explain(subject, time.Time{})
			if err != nil || kinds(again) != kinds(e) {
				b.Errorf("%s: %s, %v", subject, kinds(again), err)
			}
		}
	})
}

func TestExplainLooksBackAsFarAsItIsTold(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		rec := decided(liveTopic, 1)
		rec.Value = []byte(strings.Replace(string(rec.Value), `"id":"d-1",`, "", 1)) // no ID of its own
		b.put(rec)
		rec = b.all(liveTopic)[0]
		time.Sleep(time.Hour)
		b.settle(rec, decision.AlreadyComplete, "")
		time.Sleep(48 * time.Hour)
		since := time.Now().Add(-24 * time.Hour)
		// By its place it is found whatever its time.
		e, err := b.explain(rec.Origin().String(), since)
		if err != nil || kinds(e) != "submitted, settled already_complete" {
			b.Errorf("%s, %v", kinds(e), err)
		}
		d := mustDecode(t, rec)
		if _, err := b.explain(d.Task.ProfileID+"/"+d.Task.TaskID, since); !errors.Is(err, backfill.ErrNothingKnown) {
			b.Errorf("%v", err)
		}
		for _, nothing := range []string{"d-1", "nobody", liveTopic + "/0/99", liveTopic + "/77/0", "no/such/topic", "a/1/2"} {
			if _, err := b.explain(nothing, time.Time{}); !errors.Is(err, backfill.ErrNothingKnown) {
				b.Errorf("%s: %v", nothing, err)
			}
		}
	})
}
