package explain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/explain"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// ledgerOf returns the ledger, for what a person does in a run of its own.
func ledgerOf(b *bulktest.Kafka, actor, command string) store.Options {
	return store.Options{
		Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict",
		Author: ledger.Author{Actor: actor, Host: "desk", Run: "run of " + command, Command: command, Why: "because"},
	}
}

// do writes what a command would, a second after what was before.
func do(b *bulktest.Kafka, actor, command string, key ledger.Key, e ledger.Entry, details map[string]string) {
	b.Helper()
	time.Sleep(time.Second)
	w, err := store.Open(b.Context(), ledgerOf(b, actor, command), key)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(b.Context(), store.Change{
		Entries: []store.KeyedEntry{{Key: key, Entry: e}}, Acts: []ledger.Act{{Key: key.In("verdict"), Details: details}},
	}); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
}

func held(h bool) ledger.Entry { return ledger.Entry{Hold: &ledger.Hold{Held: h}} }

// withLedger explains a subject with all that there is.
func withLedger(b *bulktest.Kafka, subject string) explain.Explanation {
	b.Helper()
	where := ledgerOf(b, "", "")
	e, err := explain.Explain(b.Context(), explain.Options{
		Connection: b.Conn, Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic,
		Group: "verdict", Ledger: &where, Lanes: map[string]decision.Lane{bulktest.LiveTopic: decision.Live, bulktest.BackfillTopic: decision.Backfill},
		MaxBackoff: time.Minute, Held: "held",
	}, subject)
	if err != nil || e.Ledger != nil {
		b.Errorf("explain %s: %v, %v", subject, err, e.Ledger)
	}
	return e
}

// story returns what happened, in order, with what commands were about.
func story(e explain.Explanation) string {
	var words []string
	for _, ev := range e.Events {
		words = append(words, strings.Join(strings.Fields(fmt.Sprint(ev.Kind, " ", ev.Outcome, ev.Reason, " ", ev.Command, " ", ev.Key)), " "))
	}
	return strings.Join(words, ", ")
}

func wantStory(b *bulktest.Kafka, e explain.Explanation, want string) {
	b.Helper()
	if got := story(e); got != want {
		b.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

// inRun returns the record of the ith decision of a batch as a run of submit sends it.
func inRun(batch, run string, i int) decision.Record {
	rec := bulktest.InBatch(bulktest.BackfillTopic, batch, i, 3)
	rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(run)})
	return rec
}

func TestExplainTakesALoneTaskOrProfileID(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.Decision(bulktest.LiveTopic, 1), bulktest.Decision(bulktest.BackfillTopic, 2))
		for _, topic := range []string{bulktest.LiveTopic, bulktest.BackfillTopic} {
			for _, rec := range b.All(topic) {
				time.Sleep(time.Second)
				b.Settle(rec, decision.Completed, "")
			}
		}
		// One on the same task, named by its alias: its record does not have the task's ID.
		first := bulktest.MustDecode(b, bulktest.Decision("", 1))
		byAlias := bulktest.Decision(bulktest.LiveTopic, 1)
		byAlias.Value = fmt.Appendf(nil, `{"id":"by-alias","profile_id":%q,"task":{"alias":"identity"},"state":"COMPLETED_FAIL"}`, first.Task.ProfileID)
		b.Put(byAlias)
		for _, rec := range b.All(bulktest.LiveTopic) {
			if d := bulktest.MustDecode(b, rec); d.ID == "by-alias" {
				time.Sleep(time.Second)
				result := decision.Result{
					DecisionID: d.ID, DecisionKey: d.Identity().String(), ProfileID: d.Task.ProfileID, TaskID: first.Task.TaskID, State: d.State,
					Outcome: decision.Completed, Attempts: 1, CompletedAt: decision.Time{Time: time.Now()}, Origin: rec.Origin(),
				}
				b.Put(result.Encode(bulktest.ResultsTopic, rec.Key))
			}
		}
		for _, subject := range []string{first.Task.TaskID, strings.ToUpper(first.Task.TaskID), strings.ToUpper(first.Task.ProfileID), first.Task.ProfileID + "/" + first.Task.TaskID} {
			e := withLedger(b, subject)
			wantStory(b, e, "submitted, settled completed, submitted, settled completed")
			if e.Events[2].DecisionID != "by-alias" {
				b.Errorf("%s: %+v", subject, e.Events)
			}
		}
	})
}

func TestExplainShowsAttemptsAndTheNextOne(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.Decision(bulktest.LiveTopic, 1))
		at := b.All(bulktest.LiveTopic)[0].Origin()
		tracker := offsets.NewTracker(at.Offset)
		tracker.Track(at.Offset)
		metadata := offsets.Encode(tracker, map[int64]decision.Progress{at.Offset: {Attempts: 3, MaybeApplied: true}}, offsets.DefaultMetadataSize)
		if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict", bulktest.LiveTopic, map[int]broker.GroupOffset{at.Partition: {Offset: at.Offset, Metadata: metadata}}); err != nil {
			b.Fatal(err)
		}
		e := withLedger(b, "d-1")
		wantStory(b, e, "submitted, pending")
		if p := e.Events[1]; p.Attempts != 3 || !p.MaybeApplied || p.RetryWithin != "1m0s" || !strings.Contains(p.Note, "the back-off is at most 1m0s") {
			b.Errorf("%+v", p)
		}
	})
}

func TestExplainShowsWhatHoldsADecisionNow(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		batch := ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.BackfillTopic, Runs: []string{"ours"}}}
		do(b, "ann", "submit", ledger.BatchKey("spring"), batch, map[string]string{"did": "began"})
		b.Put(inRun("spring", "ours", 1), inRun("spring", "theirs", 2))
		do(b, "bob", "hold", ledger.HoldLane(decision.Backfill), held(true), nil)
		do(b, "bob", "hold", ledger.HoldLane(decision.Live), held(true), nil) // another lane
		do(b, "cid", "hold", ledger.HoldBatch("spring"), held(true), nil)
		e := withLedger(b, "d-1")
		wantStory(b, e, "command submit batch/spring, submitted, command hold hold/lane/backfill, command hold hold/batch/spring, pending, "+
			"held hold hold/lane/backfill, held hold hold/batch/spring")
		if now := e.Events[6]; now.Actor != "cid" || now.Host != "desk" || now.Why != "because" || now.Since.IsZero() || now.DecisionID != "d-1" || now.Place.Topic != "control" {
			b.Errorf("%+v", now)
		}
		// A record that names the batch, and that none of its runs wrote, is not the batch's.
		wantStory(b, withLedger(b, "d-2"), "submitted, command hold hold/lane/backfill, pending, held hold hold/lane/backfill")

		at := b.All(bulktest.BackfillTopic)
		ends := make(map[int]int64)
		for _, rec := range at {
			ends[rec.Partition] = rec.Offset + 1
		}
		cancelled := ledger.Entry{Hold: &ledger.Hold{Cancelled: map[string]map[int]int64{bulktest.BackfillTopic: ends}}}
		do(b, "cid", "cancel", ledger.HoldBatch("spring"), cancelled, nil)
		do(b, "bob", "resume", ledger.HoldLane(decision.Backfill), held(false), nil)
		do(b, "dan", "hold", ledger.HoldTask(bulktest.MustDecode(b, at[0]).Task), held(true), nil)
		do(b, "dan", "rate", ledger.RateKey(), ledger.Entry{Rate: &ledger.Rate{PerSecond: 5}}, nil)
		// Sent after the cancel.
		b.Put(inRun("spring", "ours", 1))
		id := bulktest.MustDecode(b, at[0]).ID
		e = withLedger(b, id)
		if got := story(e); strings.Count(got, "cancelled cancel hold/batch/spring") != map[string]int{"d-1": 1, "d-2": 0}[id] || !strings.HasSuffix(got, " rate") ||
			!strings.Contains(got, "held hold hold/task/") || strings.Contains(got, "held hold hold/lane") {
			b.Error(got)
		}
		if last := e.Events[len(e.Events)-1]; last.Note != "the group makes at most 5 calls per second" {
			b.Errorf("%+v", last)
		}
	})
}

// TestExplainShowsTheCommandsThatTouchedADecision has a decision that waited while its lane
// was held, was dead-lettered, redriven and settled; and holds before and after it.
func TestExplainShowsTheCommandsThatTouchedADecision(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		lane := ledger.HoldLane(decision.Backfill)
		do(b, "old", "hold", lane, held(true), nil)
		do(b, "old", "resume", lane, held(false), nil)
		do(b, "old", "hold", lane, held(true), nil) // it is in force when the decision comes
		b.Put(inRun("spring", "ours", 1))
		do(b, "ann", "submit", ledger.BatchKey("spring"), ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.BackfillTopic, Runs: []string{"ours"}}}, nil)
		do(b, "bob", "resume", lane, held(false), nil)
		first := b.All(bulktest.BackfillTopic)[0]
		b.Settle(first, "", decision.Rejected)
		time.Sleep(time.Second)
		letter := b.All(bulktest.LettersTopic)[0]
		dead, err := decision.ParseDeadLetter(&letter)
		if err != nil {
			b.Fatal(err)
		}
		do(b, "eve", "redrive", ledger.BatchKey("redrive-1"), ledger.Entry{Batch: &ledger.Batch{Topic: bulktest.LettersTopic, Redrive: true, Runs: []string{"again"}}}, nil)
		copied := dead.Redriven(letter.Origin())
		copied.Headers = append(copied.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte("again")})
		b.Put(copied)
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if rec.Origin() != first.Origin() {
				time.Sleep(time.Second)
				b.Settle(rec, decision.Completed, "")
			}
		}
		do(b, "new", "hold", lane, held(true), nil) // after it was settled
		e := withLedger(b, "d-1")
		wantStory(b, e, "command hold hold/lane/backfill, submitted, command submit batch/spring, command resume hold/lane/backfill, "+
			"dead_lettered rejected, command redrive batch/redrive-1, redriven, settled completed")
		if note := e.Events[6].Note; note != "from the dead letter "+letter.Origin().String() {
			b.Error(note)
		}
		b.Put(dead.Redriven(letter.Origin())) // by a producer
		e = withLedger(b, "d-1")
		for _, ev := range e.Events {
			if ev.Kind == explain.EventRedriven && strings.Contains(ev.Note, "the ledger knows no redrive that sent it") != (ev.Run != "again") {
				b.Errorf("%+v", ev)
			}
		}
	})
}

func TestExplainShowsThatALetterWasDismissed(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		one, two := bulktest.Decision(bulktest.LiveTopic, 1), bulktest.Decision(bulktest.LiveTopic, 2)
		one.Key, two.Key = []byte("k"), []byte("k") // one partition of dead letters
		b.Put(one, two)
		for _, rec := range b.All(bulktest.LiveTopic) {
			b.Settle(rec, "", decision.Rejected)
		}
		ids, err := b.Conn.TopicIDs(b.Context(), bulktest.LettersTopic)
		if err != nil {
			b.Fatal(err)
		}
		id := ids[bulktest.LettersTopic]
		topic := fmt.Sprintf("%x", id[:])
		for _, letter := range b.All(bulktest.LettersTopic) {
			if dead, err := decision.ParseDeadLetter(&letter); err == nil && dead.DecisionID == "d-1" {
				window := ledger.Window{Dismissed: []byte{1 << letter.Offset}}
				do(b, "fay", "dismiss", ledger.WindowKey(topic, letter.Partition, 0), ledger.Entry{Window: &window}, nil)
			}
		}
		do(b, "fay", "dismiss", ledger.Key{Kind: ledger.KindRedrive, Name: topic}, ledger.Entry{Window: &ledger.Window{}}, map[string]string{"dismissed": "1"})
		e := withLedger(b, "d-1")
		wantStory(b, e, "submitted, dead_lettered rejected, command dismiss redrive/"+topic)
		if !e.Events[1].Dismissed || e.Events[2].Note != "dismissed: 1" {
			b.Errorf("%+v", e.Events)
		}
		wantStory(b, withLedger(b, "d-2"), "submitted, dead_lettered rejected")
	})
}

// TestExplainWithoutALedger has no ledger, then one that is none.
func TestExplainWithoutALedger(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.Decision(bulktest.LiveTopic, 1))
		wantStory(b, withLedger(b, "d-1"), "submitted, pending")
		if err := b.Cluster.CreateTopic("control", 2, nil); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute) // the client remembers for some seconds that there was none
		where := ledgerOf(b, "", "")
		e, err := explain.Explain(b.Context(), explain.Options{
			Connection: b.Conn, Decisions: []string{bulktest.LiveTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic, Ledger: &where,
		}, "d-1")
		if err != nil || e.Ledger == nil || !strings.Contains(e.Ledger.Error(), "must have one") {
			b.Errorf("%v, %v", e.Ledger, err)
		}
		wantStory(b, e, "submitted, pending")
	})
}

func TestExplainShowsWhatWaitsForApproval(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		if err := b.Cluster.CreateTopic("held", 1, nil); err != nil {
			b.Fatal(err)
		}
		in := func(topic string, i int) decision.Record {
			rec := inRun("spring", "ours", i)
			rec.Topic = topic
			return rec
		}
		b.Put(in("held", 1), in("held", 2))
		batch := ledger.Batch{Topic: "held", Runs: []string{"ours"}, Approval: &ledger.Approval{To: bulktest.BackfillTopic}}
		do(b, "ann", "submit", ledger.BatchKey("spring"), ledger.Entry{Batch: &batch}, nil)
		wantStory(b, withLedger(b, "d-1"), "submitted, command submit batch/spring, waiting")

		b.Put(in(bulktest.BackfillTopic, 1)) // the first is moved, the second not yet
		batch.Approval.By, batch.Approval.Moved = &ledger.Author{}, map[int]int64{0: 1}
		do(b, "bob", "approve", ledger.BatchKey("spring"), ledger.Entry{Batch: &batch}, nil)
		moved := "submitted, command submit batch/spring, submitted, command approve batch/spring, "
		wantStory(b, withLedger(b, "d-1"), moved+"pending")
		wantStory(b, withLedger(b, "d-2"), strings.Replace(moved, "submitted, command approve", "command approve", 1)+"waiting")
	})
}
