package redrive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

func TestRedriveSendsEachLetterOnceOverAllFilters(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 50, decision.Rejected)
		fail(b, bulktest.LiveTopic, 101, 50, decision.TaskNotFound)
		fail(b, bulktest.BackfillTopic, 201, 50, decision.RetriesExhausted)
		fail(b, bulktest.LiveTopic, 301, 50, decision.Rejected)

		o := options(b)
		o.Filter.Reasons = []decision.Reason{decision.RetriesExhausted}
		survey, done := scanAndRun(b, o)
		if survey.Read != 200 || survey.Chosen != 50 || survey.ByReason[decision.RetriesExhausted] != 50 || done.Handled != 50 {
			b.Errorf("%+v, %+v", survey, done)
		}
		wantCopies(b, [2]int{201, 50})

		// Another filter sends what the first one left, and nothing twice.
		o.Filter.Reasons = []decision.Reason{decision.Rejected, decision.RetriesExhausted}
		o.Limit = 30
		survey, done = scanAndRun(b, o)
		if survey.Chosen != 100 || survey.Already != 50 || done.Handled != 30 || !done.Limited {
			b.Errorf("%+v, %+v", survey, done)
		}
		o.Limit = 0
		if _, done = scanAndRun(b, o); done.Handled != 70 || done.Limited {
			b.Errorf("%+v", done)
		}
		wantCopies(b, [2]int{1, 50}, [2]int{201, 50}, [2]int{301, 50})

		if _, done = scanAndRun(b, options(b)); done.Handled != 50 {
			b.Errorf("%+v", done)
		}
		if survey, done = scanAndRun(b, options(b)); done.Handled != 0 || survey.Chosen != 0 || survey.Already != 200 {
			b.Errorf("%+v, %+v", survey, done)
		}
		wantCopies(b, [2]int{1, 50}, [2]int{101, 50}, [2]int{201, 50}, [2]int{301, 50})
	})
}

func TestScanWritesNothing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 5, decision.Rejected)
		r := begin(b, options(b))
		if survey, err := r.Scan(b.Context()); err != nil || survey.Chosen != 5 || survey.ByError["that is why"] != 5 || survey.ByTopic[bulktest.BackfillTopic] != 5 {
			b.Errorf("%+v, %v", survey, err)
		}
		wantCopies(b)
		if _, err := store.Read(b.Context(), options(b).Ledger, nil); !errors.Is(err, store.ErrMissing) {
			b.Errorf("the scan wrote to the ledger: %v", err)
		}
	})
}

func TestRedriveKeepsToItsRate(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 100, decision.Rejected)
		o := options(b)
		o.Rate = 10
		began := time.Now()
		_, done := scanAndRun(b, o)
		if took := time.Since(began); done.Handled != 100 || took < 9*time.Second || took > 12*time.Second {
			b.Errorf("%+v in %v", done, took)
		}
	})
}

func TestRedriveContinuesAfterAStop(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 100, decision.Rejected)
		o := options(b)
		o.Rate = 10
		r := begin(b, o)
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		done, err := r.Run(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || done.Handled < 40 || done.Handled > 60 {
			b.Errorf("%+v, %v", done, err)
		}
		if _, rest := scanAndRun(b, o); rest.Handled+done.Handled != 100 {
			b.Errorf("%d and then %d", done.Handled, rest.Handled)
		}
		wantCopies(b, [2]int{1, 100})
	})
}

func TestRedriveCountsTheRedrivesOfADecision(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		for want := range 3 {
			if _, done := scanAndRun(b, options(b)); done.Handled != 1 {
				b.Fatalf("redrive %d: %+v", want+1, done)
			}
			all := b.All(bulktest.BackfillTopic)
			last := slices.MaxFunc(all, func(x, y decision.Record) int { return decision.Redrives(&x) - decision.Redrives(&y) })
			if got := decision.Redrives(&last); got != want+1 {
				b.Fatalf("redrives %d, want %d", got, want+1)
			}
			b.Settle(last, "", decision.Rejected)
		}
		if survey, done := scanAndRun(b, options(b)); done.Handled != 0 || survey.Refused[redrive.OverMax] != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
	})
}

func TestRedriveGoesBackToTheSamePartition(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no"}
		var letters []decision.Record
		for i := range 60 {
			rec := bulktest.Decision(bulktest.BackfillTopic, i)
			rec.Partition = i % 4 // of three: what the last one had goes by its key
			letters = append(letters, letter.Encode(bulktest.LettersTopic, &rec))
		}
		b.Put(letters...)
		if _, done := scanAndRun(b, options(b)); done.Handled != 60 {
			b.Fatalf("%+v", done)
		}
		for _, rec := range b.All(bulktest.BackfillTopic) {
			var i int
			d, _ := decision.Decode(&rec)
			if _, err := fmt.Sscanf(d.ID, "d-%d", &i); err != nil || i%4 < 3 && rec.Partition != i%4 {
				b.Errorf("%s came from partition %d and is in %d", d.ID, i%4, rec.Partition)
			}
		}
	})
}

func TestRedriveRegistersItselfAsABatch(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 10, decision.Rejected)
		o := options(b)
		o.Limit, o.Overwrite, o.Edit, o.Filter.BatchID = 7, true, []byte(`{"reason":"why"}`), "b"
		r := begin(b, o)
		if _, err := r.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		found := 0
		for key, e := range readLedger(b).Of(ledger.KindBatch) {
			found++
			run := e.Batch.Runs[0]
			if key.Name != redrive.BatchID(run) || !e.Batch.Redrive || !e.Batch.Overwrite || e.Batch.Topic != bulktest.LettersTopic ||
				e.Batch.Size != 7 || e.Batch.Sent != 7 || e.Batch.Ended.IsZero() || e.Batch.Submitter.Actor != "ops" {
				b.Errorf("%s: %+v", key.Name, e.Batch)
			}
			for _, rec := range b.All(bulktest.BackfillTopic) {
				if decision.Redrives(&rec) == 1 && !slices.ContainsFunc(rec.Headers, func(h decision.Header) bool { return h.Key == decision.HeaderRun && string(h.Value) == run }) {
					b.Errorf("a copy does not name its run: %v", rec.Headers)
				}
			}
			if all := acts(b); len(all) != 2 || all[0].Key != "verdict/batch/"+key.Name || all[0].Details["batch_id"] != "b" || all[0].Details["chosen"] != "10" ||
				all[0].Details["limit"] != "7" || all[0].Why != "because" || all[1].Details["redriven"] != "7" || all[1].Details["stopped"] != "" {
				b.Errorf("acts %+v", all)
			}
		}
		if found != 1 {
			b.Errorf("%d batches", found)
		}
	})
}

// TestRedriveRemembersOverSeveralWindows fails more letters than a window has, and than a
// transaction holds, and sends every third back.
func TestRedriveRemembersOverSeveralWindows(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		const n = ledger.WindowSize + 6000
		reasons := []decision.Reason{decision.Rejected, decision.Expired, decision.Conflict}
		letters := make([]decision.Record, n)
		for i := range letters {
			rec := bulktest.Decision(bulktest.LiveTopic, i)
			rec.Partition = i % 2
			letter := decision.DeadLetter{Reason: reasons[i%3], Error: "no"}
			letters[i] = letter.Encode(bulktest.LettersTopic, &rec)
		}
		for from := 0; from < n; from += 1000 { // all in partition 0, so that it has two windows
			if _, err := b.Conn.Append(b.Context(), bulktest.LettersTopic, 0, letters[from:min(from+1000, n)]); err != nil {
				b.Fatal(err)
			}
		}
		o := options(b)
		o.Filter.Reasons = []decision.Reason{decision.Expired}
		if _, done := scanAndRun(b, o); done.Handled != n/3 {
			b.Errorf("%+v", done)
		}
		windows := 0
		for key := range readLedger(b).Of(ledger.KindRedrive) {
			if strings.Contains(key.Name, "/") {
				windows++
			}
		}
		if windows != 2 {
			b.Errorf("%d windows, want 2", windows)
		}
		if survey, done := scanAndRun(b, options(b)); survey.Already != n/3 || done.Handled != n-n/3 {
			b.Errorf("%+v, %+v", survey, done)
		}
		times := make(map[string]int)
		for _, rec := range b.All(bulktest.LiveTopic) {
			times[string(rec.Value)]++
		}
		for value, n := range times {
			if n != 1 {
				b.Fatalf("%s is there %d times", value, n)
			}
		}
		if len(times) != n {
			b.Errorf("%d decisions, want %d", len(times), n)
		}
	})
}

// One copy that Kafka never takes does not keep the others from going back.
func TestRedriveLeavesOutWhatKafkaRefuses(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		if _, err := broker.Create(b.Context(), b.Conn.Client(), []broker.Topic{{Name: "small", Partitions: 1, Configs: map[string]string{"max.message.bytes": "5000"}}}); err != nil {
			b.Fatal(err)
		}
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no"}
		var letters []decision.Record
		for i := range 20 {
			rec := bulktest.Decision("small", i)
			if i == 7 {
				rec.Value = fmt.Appendf(nil, `{"other":%q}`, bytes.Repeat([]byte("x"), 8000))
			}
			letters = append(letters, letter.Encode(bulktest.LettersTopic, &rec))
		}
		b.Put(letters...)
		o := options(b)
		o.Targets = []string{"small"}
		if _, done := scanAndRun(b, o); done.Handled != 19 || done.Failed != 1 {
			b.Errorf("%+v", done)
		}
		if n := len(b.All("small")); n != 19 {
			b.Errorf("%d copies, want 19", n)
		}
		if survey, _ := scanAndRun(b, o); survey.Chosen != 1 || survey.Already != 19 {
			b.Errorf("%+v", survey)
		}
	})
}

func TestDismissedLettersDoNotGoBack(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 20, decision.Rejected)
		fail(b, bulktest.LiveTopic, 101, 10, decision.Conflict)
		b.Put(decision.Record{Topic: bulktest.LettersTopic, Value: []byte("no dead letter")})
		o := options(b)
		o.Filter.Reasons, o.Limit = []decision.Reason{decision.Rejected}, 5
		scanAndRun(b, o)

		o.Limit, o.Action = 0, redrive.Dismiss
		if survey, done := scanAndRun(b, o); survey.Chosen != 15 || survey.Already != 5 || done.Handled != 15 {
			b.Errorf("dismissed: %+v, %+v", survey, done)
		}
		if survey, done := scanAndRun(b, o); survey.Dismissed != 15 || done.Handled != 0 {
			b.Errorf("again: %+v, %+v", survey, done)
		}
		if survey, done := scanAndRun(b, options(b)); survey.Chosen != 10 || survey.Dismissed != 15 || survey.Already != 5 || survey.Refused[redrive.NotReadable] != 1 || done.Handled != 10 {
			b.Errorf("redriven: %+v, %+v", survey, done)
		}
		o.Action, o.Limit = redrive.Restore, 6
		if survey, done := scanAndRun(b, o); survey.Chosen != 15 || survey.Already != 0 || done.Handled != 6 {
			b.Errorf("restored: %+v, %+v", survey, done)
		}
		o.Action, o.Limit = redrive.SendBack, 0
		if survey, done := scanAndRun(b, o); survey.Chosen != 6 || survey.Dismissed != 9 || done.Handled != 6 {
			b.Errorf("redriven: %+v, %+v", survey, done)
		}
		if got := copies(b); len(got) != 21 || slices.Max(slices.Collect(maps.Values(got))) != 1 {
			b.Errorf("%v", got)
		}
		o = options(b) // without a filter, what can't be read is dismissed too
		o.Action = redrive.Dismiss
		if survey, done := scanAndRun(b, o); survey.Chosen != 1 || done.Handled != 1 {
			b.Errorf("dismissed: %+v, %+v", survey, done)
		}
		last := acts(b)
		if act := last[len(last)-1]; act.Details["dismissed"] != "1" || act.Details["step"] != "end" {
			b.Errorf("%+v", act)
		}
	})
}
