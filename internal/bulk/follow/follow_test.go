package follow_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
)

func options(b *bulktest.Kafka, batch string) follow.Options {
	return follow.Options{
		Connection: b.Conn, BatchID: batch, Decisions: []string{bulktest.LiveTopic, bulktest.BackfillTopic}, Results: bulktest.ResultsTopic, DeadLetters: bulktest.LettersTopic,
	}
}

// line returns the parts of a summary that tests compare.
func line(s follow.Summary) string {
	return fmt.Sprintf("size=%d submitted=%d settled=%d completed=%d dead=%d missing=%d notfound=%d redriven=%d",
		s.Size, s.Submitted, s.Settled, s.Outcomes[decision.Completed], s.DeadLettered, s.Missing, s.NotFound, s.Redriven)
}

func wantSummary(b *bulktest.Kafka, s follow.Summary, err error, want string) {
	b.Helper()
	if got := line(s); err != nil || got != want {
		b.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestFollowFindsABatchByHeaderAndByValue(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		for i := range 30 {
			b.Put(bulktest.InBatch(bulktest.BackfillTopic, "by-header", i+1, 30), bulktest.Named(bulktest.LiveTopic, "by-value", 100+i), bulktest.InBatch(bulktest.BackfillTopic, "other", 200+i, 30))
		}
		// Where header and value name two batches, the header counts.
		both := bulktest.InBatch(bulktest.BackfillTopic, "by-header", 31, 31)
		both.Value = bulktest.Named(bulktest.BackfillTopic, "by-value", 31).Value
		b.Put(both)
		for _, topic := range []string{bulktest.LiveTopic, bulktest.BackfillTopic} {
			for _, rec := range b.All(topic) {
				b.Settle(rec, decision.Completed, "")
			}
		}
		sum, err := follow.Follow(b.Context(), options(b, "by-header"))
		wantSummary(b, sum, err, "size=31 submitted=31 settled=31 completed=31 dead=0 missing=0 notfound=0 redriven=0")
		sum, err = follow.Follow(b.Context(), options(b, "by-value"))
		wantSummary(b, sum, err, "size=0 submitted=30 settled=30 completed=30 dead=0 missing=0 notfound=0 redriven=0")
	})
}

func TestFollowWaitsUntilAllIsSentAndSettled(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		const n = 40
		for i := range n / 2 {
			b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", i+1, n))
		}
		go func() { // one more every second, and settled a second later
			for i := range n / 2 {
				time.Sleep(time.Second)
				b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", n/2+i+1, n))
			}
			for _, rec := range b.All(bulktest.BackfillTopic) {
				time.Sleep(time.Second)
				b.Settle(rec, decision.Completed, "")
			}
		}()
		began := time.Now()
		o := options(b, "b")
		var rate float64
		var left time.Duration
		o.Progress = func(s follow.Summary) {
			if s.Settled >= 20 && rate == 0 {
				rate, left = s.Rate, s.Left
			}
		}
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=40 submitted=40 settled=40 completed=40 dead=0 missing=0 notfound=0 redriven=0")
		if took := time.Since(began); took < time.Minute || took > 63*time.Second {
			b.Errorf("took %v, want a minute and a round", took)
		}
		if rate < 0.3 || rate > 1.1 || left < 15*time.Second || left > time.Minute {
			b.Errorf("half-way the rate was %v, %v left", rate, left)
		}
	})
}

func TestFollowOnceReportsWhatIsMissing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		for i := range 30 {
			b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", i+1, 35))
		}
		for i, rec := range b.All(bulktest.BackfillTopic) {
			switch i % 3 {
			case 0:
				b.Settle(rec, decision.Completed, "")
			case 1:
				b.Settle(rec, "", decision.Rejected)
			}
		}
		o := options(b, "b")
		o.Once = true
		var report bytes.Buffer
		o.Report = &report
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=35 submitted=30 settled=20 completed=10 dead=10 missing=15 notfound=5 redriven=0")
		if len(sum.Open) != 10 || sum.Reasons[decision.Rejected] != 10 {
			b.Errorf("%d open, reasons %v", len(sum.Open), sum.Reasons)
		}
		rows, err := csv.NewReader(&report).ReadAll()
		if err != nil || len(rows) != 31 {
			b.Fatalf("%d rows, %v", len(rows), err)
		}
		ids, outcomes := map[string]bool{}, map[string]int{}
		for _, row := range rows[1:] {
			ids[row[0]] = true
			outcomes[strings.Join(row[4:9], " ")]++
		}
		want := map[string]int{"completed 1 200  ": 10, "dead_lettered 2 422 rejected that is why": 10, "missing 0   ": 10}
		if len(ids) != 30 || fmt.Sprint(outcomes) != fmt.Sprint(want) {
			b.Errorf("%d IDs, outcomes %v", len(ids), outcomes)
		}

		o.Once, o.Timeout, o.Report = false, 10*time.Second, nil
		began := time.Now()
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=35 submitted=30 settled=20 completed=10 dead=10 missing=15 notfound=5 redriven=0")
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			b.Errorf("with a time-out of 10s it took %v", took)
		}
	})
}

func TestFollowCountsRedrivenDecisionsByLatestCopy(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		for i := range 3 {
			b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", i+1, 3))
		}
		for _, rec := range b.All(bulktest.BackfillTopic) {
			b.Settle(rec, "", decision.Rejected)
		}
		letters := b.All(bulktest.LettersTopic)
		for _, rec := range letters[:2] {
			d, err := decision.ParseDeadLetter(&rec)
			if err != nil {
				b.Fatal(err)
			}
			b.Put(d.Redriven(rec.Origin()))
		}
		o := options(b, "b")
		o.Once = true
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=3 submitted=3 settled=1 completed=0 dead=1 missing=2 notfound=0 redriven=2")
		n := 0
		for _, rec := range b.All(bulktest.BackfillTopic) {
			if decision.Redrives(&rec) == 1 {
				if n++; n == 1 {
					b.Settle(rec, decision.Completed, "")
				} else {
					b.Settle(rec, "", decision.Conflict)
				}
			}
		}
		var report bytes.Buffer
		o.Report = &report
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=3 submitted=3 settled=3 completed=1 dead=2 missing=0 notfound=0 redriven=2")
		rows, err := csv.NewReader(&report).ReadAll()
		if err != nil || len(rows) != 4 {
			b.Errorf("%d rows, %v:\n%q", len(rows), err, rows)
		}
	})
}

func TestFollowCountsDecisionsThatRetentionDeleted(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		gone := bulktest.Named(bulktest.LiveTopic, "b", 1)
		gone.Offset = 77
		b.Settle(gone, decision.Completed, "")
		gone = bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 2)
		gone.Offset = 78
		b.Settle(gone, "", decision.Expired)
		sum, err := follow.Follow(b.Context(), options(b, "b"))
		wantSummary(b, sum, err, "size=2 submitted=2 settled=2 completed=1 dead=1 missing=0 notfound=0 redriven=0")
	})
}

func TestFollowNamesOtherBatchesIfItFindsNone(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "march", 1, 1), bulktest.Named(bulktest.LiveTopic, "april", 2))
		_, err := follow.Follow(b.Context(), options(b, "may"))
		if !errors.Is(err, follow.ErrNoBatch) || !strings.Contains(err.Error(), "march") || !strings.Contains(err.Error(), "april") {
			b.Errorf("%v", err)
		}
		o := options(b, "march")
		o.Since = time.Now().Add(time.Hour)
		if _, err := follow.Follow(b.Context(), o); !errors.Is(err, follow.ErrNoBatch) || !strings.Contains(err.Error(), "--since") {
			b.Errorf("%v", err)
		}
	})
}

func TestFollowWaitsOutAnOutageButNotAWrongAddress(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1))
		go func() {
			time.Sleep(5 * time.Second)
			b.Network.Cut()
			time.Sleep(5 * time.Minute)
			b.Network.Mend()
			b.Settle(b.All(bulktest.BackfillTopic)[0], decision.Completed, "")
		}()
		o := options(b, "b")
		retried := 0
		o.Retrying = func(error) { retried++ }
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=0")
		if retried == 0 {
			b.Error("Retrying was not called during the outage")
		}

		b.Network.Cut()
		began := time.Now()
		_, err = follow.Follow(b.Context(), options(b, "b"))
		if err == nil || time.Since(began) > time.Minute {
			b.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestFollowReturnsWhatItKnowsWhenStopped(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 2), bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 2))
		b.Settle(b.All(bulktest.BackfillTopic)[0], decision.Completed, "")
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		time.AfterFunc(10*time.Second, cancel)
		sum, err := follow.Follow(ctx, options(b, "b"))
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%v", err)
		}
		wantSummary(b, sum, nil, "size=2 submitted=2 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=0")
		if sum.Waiting != 1 {
			b.Errorf("%d wait, want 1: nobody has looked whether it is missing", sum.Waiting)
		}
	})
}

// A topic that was deleted and made again has new decisions where others were.
func TestFollowIgnoresEndsOfOtherDecisionsAtTheSamePlaces(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		broken := bulktest.InBatch(bulktest.BackfillTopic, "b", 4, 4)
		broken.Value = []byte(`{"id":"d-4"}`)
		broken.Time = time.Now().Add(time.Minute) // later than the results below
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 4), bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 4), bulktest.InBatch(bulktest.BackfillTopic, "b", 3, 4), broken)
		places := b.All(bulktest.BackfillTopic)
		for i, rec := range places {
			otherState := rec
			otherState.Value = bytes.Replace(rec.Value, []byte("PASS"), []byte("FAIL"), 1)
			b.Settle(bulktest.BeforeAt(rec, bulktest.Named("", "b", 101+i)), decision.Completed, "")
			b.Settle(bulktest.BeforeAt(rec, otherState), "", decision.Conflict)
		}
		o := options(b, "b")
		o.Once = true
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=4 submitted=4 settled=0 completed=0 dead=0 missing=4 notfound=0 redriven=0")

		time.Sleep(2 * time.Minute)
		for _, rec := range places {
			if d, err := decision.Decode(&rec); err == nil && d.ID != "d-1" {
				b.Settle(rec, decision.Completed, "")
			} else {
				b.Settle(rec, "", decision.Conflict)
			}
		}
		var report bytes.Buffer
		o.Report = &report
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=4 submitted=4 settled=4 completed=2 dead=2 missing=0 notfound=0 redriven=0")
		rows, err := csv.NewReader(&report).ReadAll()
		got := map[string]string{}
		for _, row := range rows[1:] {
			got[row[0]] += row[3] + " " + row[4]
		}
		want := map[string]string{"d-1": "COMPLETED_PASS dead_lettered", "d-2": "COMPLETED_PASS completed", "d-3": "COMPLETED_PASS completed", "d-4": " dead_lettered"}
		if err != nil || !maps.Equal(got, want) {
			b.Errorf("rows %v, %v", got, err)
		}
	})
}

// The decisions of a batch are gone with their topic, and others are where they were.
func TestFollowShowsABatchWhoseTopicWasMadeAgain(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		b.Put(bulktest.InBatch(bulktest.BackfillTopic, "new", 1, 1))
		rec := b.All(bulktest.BackfillTopic)[0]
		b.Settle(bulktest.BeforeAt(rec, bulktest.Named("", "old", 2)), decision.Completed, "")
		b.Settle(rec, decision.Completed, "")
		b.Settle(rec, "", decision.Conflict)
		for batch, id := range map[string]string{"old": "d-2", "new": "d-1"} {
			var report bytes.Buffer
			o := options(b, batch)
			o.Report = &report
			sum, err := follow.Follow(b.Context(), o)
			rows, _ := csv.NewReader(&report).ReadAll()
			if err != nil || sum.Outcomes[decision.Completed] != 1 || len(rows) != 2 || rows[1][0] != id {
				b.Errorf("batch %s: %v, rows %v, %v", batch, sum.Outcomes, rows, err)
			}
		}
	})
}

func TestFollowIgnoresEndsOfOtherDecisionsAtACopysPlace(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		first := bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1)
		first.Value = bytes.Replace(first.Value, []byte(`"id":"d-1",`), nil, 1) // its copy has the ID of another place
		b.Put(first)
		b.Settle(b.All(bulktest.BackfillTopic)[0], "", decision.Rejected)
		letter := b.All(bulktest.LettersTopic)[0]
		l, err := decision.ParseDeadLetter(&letter)
		if err != nil {
			b.Fatal(err)
		}
		b.Put(l.Redriven(letter.Origin()))
		copied := b.All(bulktest.BackfillTopic)[1]
		b.Settle(bulktest.BeforeAt(copied, bulktest.Decision("", 2)), decision.Completed, "")
		o := options(b, "b")
		o.Once = true
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=0 completed=0 dead=0 missing=1 notfound=0 redriven=1")
		b.Settle(copied, decision.Completed, "")
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=1")
	})
}

// TestFollowKnowsABatchByItsRunsAndItsBegin has a batch whose ID was used before, records
// that name it and that none of its runs wrote, and one that retention deleted.
func TestFollowKnowsABatchByItsRunsAndItsBegin(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		in := func(i int, run string) decision.Record {
			rec := bulktest.InBatch(bulktest.BackfillTopic, "spring", i, 3)
			rec.Value, rec.Key = bulktest.Named(bulktest.BackfillTopic, "spring", i).Value, []byte("k") // in one partition
			rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(run)})
			return rec
		}
		b.Put(in(1, "before"), in(2, "before"))
		all := b.All(bulktest.BackfillTopic)
		begin := map[string]map[int]int64{bulktest.BackfillTopic: {all[0].Partition: 2}}
		b.Put(in(1, "ours"), in(2, "theirs"), in(2, "ours too"), in(3, "ours"))
		for _, rec := range b.All(bulktest.BackfillTopic) {
			b.Settle(rec, decision.Completed, "")
		}
		gone := in(4, "ours")
		gone.Partition, gone.Offset = (all[0].Partition+1)%3, 7
		b.Settle(gone, decision.Completed, "")
		o := options(b, "spring")
		o.Once, o.Runs, o.Begin = true, []string{"ours", "ours too"}, begin
		var results []string
		o.Result = func(r *decision.Result) error {
			results = append(results, r.Origin.String())
			return nil
		}
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=3 submitted=4 settled=4 completed=4 dead=0 missing=0 notfound=0 redriven=0")
		if len(results) != 4 || strings.Contains(strings.Join(results, " ")+" ", "/3 ") {
			b.Errorf("results of %v", results)
		}
	})
}
