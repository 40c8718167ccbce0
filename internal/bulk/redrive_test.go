package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	backfill "verdict/internal/bulk"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

// fail dead-letters n decisions of a topic, numbered from `from` on.
func (b *kafkaBench) fail(topic string, from, n int, reason decision.Reason) {
	b.Helper()
	records := make([]decision.Record, n)
	for i := range records {
		records[i] = inBatch(topic, "b", from+i, 1000)
	}
	b.put(records...)
	for _, rec := range b.all(topic) {
		d, err := decision.Decode(&rec)
		if err != nil {
			b.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscanf(d.ID, "d-%d", &number); err != nil {
			b.Fatal(err)
		}
		if number >= from && number < from+n && decision.Redrives(&rec) == 0 {
			b.settle(rec, "", reason)
		}
	}
}

func (b *kafkaBench) redriveOptions() backfill.RedriveOptions {
	return backfill.RedriveOptions{
		Connection: b.conn, DeadLetters: lettersTopic, Targets: []string{liveTopic, backfillTopic}, Group: "verdict",
	}
}

// redrive surveys and runs.
func (b *kafkaBench) redrive(o backfill.RedriveOptions) (backfill.Survey, backfill.Redriven) {
	b.Helper()
	r, err := backfill.NewRedrive(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	survey, err := r.Survey(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	done, err := r.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return survey, done
}

// copies are the IDs of the decisions that were redriven, as often as they were.
func (b *kafkaBench) copies() map[string]int {
	b.Helper()
	found := make(map[string]int)
	for _, topic := range []string{liveTopic, backfillTopic} {
		for _, rec := range b.all(topic) {
			if _, ok := decision.RedrivenFrom(&rec); ok {
				d, _ := decision.Decode(&rec)
				found[d.ID]++
			}
		}
	}
	return found
}

// wantCopies wants each of these decisions redriven once, and no other.
func (b *kafkaBench) wantCopies(numbers ...[2]int) {
	b.Helper()
	want := make(map[string]int)
	for _, span := range numbers {
		for i := span[0]; i < span[0]+span[1]; i++ {
			want[fmt.Sprint("d-", i)] = 1
		}
	}
	if got := b.copies(); !maps.Equal(got, want) {
		b.Errorf("%d decisions were redriven, want %d, each once: %v", len(got), len(want), got)
	}
}

func TestRedriveSendsEachBackOnceWhateverTheFilters(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 50, decision.Rejected)
		b.fail(liveTopic, 101, 50, decision.TaskNotFound)
		b.fail(backfillTopic, 201, 50, decision.RetriesExhausted)
		b.fail(liveTopic, 301, 50, decision.Rejected)

		o := b.redriveOptions()
		o.Filter.Reasons = []decision.Reason{decision.RetriesExhausted}
		survey, done := b.redrive(o)
		if survey.Looked != 200 || survey.Chosen != 50 || survey.ByReason[decision.RetriesExhausted] != 50 || done.Redriven != 50 {
			b.Errorf("%+v, %+v", survey, done)
		}
		b.wantCopies([2]int{201, 50})

		// Another filter takes what the first one left, and nothing twice.
		o.Filter.Reasons = []decision.Reason{decision.Rejected, decision.RetriesExhausted}
		o.Limit = 30
		survey, done = b.redrive(o)
		if survey.Chosen != 100 || survey.Already != 50 || done.Redriven != 30 || !done.Limited {
			b.Errorf("%+v, %+v", survey, done)
		}
		o.Limit = 0
		if _, done = b.redrive(o); done.Redriven != 70 || done.Limited {
			b.Errorf("%+v", done)
		}
		b.wantCopies([2]int{1, 50}, [2]int{201, 50}, [2]int{301, 50})

		if _, done = b.redrive(b.redriveOptions()); done.Redriven != 50 {
			b.Errorf("%+v", done)
		}
		if survey, done = b.redrive(b.redriveOptions()); done.Redriven != 0 || survey.Chosen != 0 || survey.Already != 200 {
			b.Errorf("%+v, %+v", survey, done)
		}
		b.wantCopies([2]int{1, 50}, [2]int{101, 50}, [2]int{201, 50}, [2]int{301, 50})
	})
}

func TestRedriveSurveysWithoutATrace(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 5, decision.Rejected)
		r, err := backfill.NewRedrive(b.Context(), b.redriveOptions())
		if err != nil {
			b.Fatal(err)
		}
		if survey, err := r.Survey(b.Context()); err != nil || survey.Chosen != 5 || survey.ByError["that is why"] != 5 || survey.ByTopic[backfillTopic] != 5 {
			b.Errorf("%+v, %v", survey, err)
		}
		b.wantCopies()
		if _, _, ok := b.cluster.Committed("verdict-redrive", lettersTopic, 0); ok {
			b.Error("a survey committed")
		}
	})
}

func TestRedriveFiltersByWhatADeadLetterSays(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 10, decision.Rejected)
		time.Sleep(time.Hour)
		cut := time.Now()
		b.fail(liveTopic, 101, 10, decision.Rejected)
		b.put(named(liveTopic, "spring", 500))
		for _, rec := range b.all(liveTopic) {
			if strings.Contains(string(rec.Value), "spring") {
				b.settle(rec, "", decision.Expired)
			}
		}
		profile := string(decided("", 7).Key)
		for name, test := range map[string]struct {
			filter backfill.RedriveFilter
			want   int64
		}{
			"all":            {backfill.RedriveFilter{}, 21},
			"since":          {backfill.RedriveFilter{Since: cut}, 11},
			"until":          {backfill.RedriveFilter{Until: cut}, 10},
			"between":        {backfill.RedriveFilter{Since: cut.Add(-2 * time.Hour), Until: cut}, 10},
			"profile":        {backfill.RedriveFilter{Profile: strings.ToUpper(profile)}, 1},
			"batch":          {backfill.RedriveFilter{BatchID: "b"}, 20},
			"batch in value": {backfill.RedriveFilter{BatchID: "spring"}, 1},
			"error":          {backfill.RedriveFilter{Match: "THAT IS"}, 21},
			"value":          {backfill.RedriveFilter{Match: `"d-101"`}, 1},
			"none":           {backfill.RedriveFilter{BatchID: "b", Reasons: []decision.Reason{decision.Expired}}, 0},
		} {
			o := b.redriveOptions()
			o.Filter = test.filter
			r, err := backfill.NewRedrive(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			if survey, err := r.Survey(b.Context()); err != nil || survey.Chosen != test.want {
				b.Errorf("%s: %d chosen, %v, want %d", name, survey.Chosen, err, test.want)
			}
		}
	})
}

func TestRedriveRefusesWhatCanNotGoBackAndSaysSo(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 1, decision.Rejected)
		letter := decision.DeadLetter{Reason: decision.Rejected, Error: "no", DecisionID: "x", FailedAt: decision.Time{Time: time.Now()}}
		often := decided(liveTopic, 2, decision.Header{Key: decision.HeaderRedrives, Value: []byte("3")})
		hostile, loop, gone := decided("elsewhere", 3), decided(lettersTopic, 4), decided("not-there", 5)
		large := letter.Record(lettersTopic, new(decided(liveTopic, 6)))
		b.put(letter.Record(lettersTopic, &often), letter.Record(lettersTopic, &hostile), letter.Record(lettersTopic, &loop),
			letter.Record(lettersTopic, &gone), decision.WithoutValue(large), decision.Record{Topic: lettersTopic, Value: []byte("?")})

		refused := map[backfill.Refusal]int{}
		o := b.redriveOptions()
		o.Refused = func(r backfill.RefusedLetter) { refused[r.Why]++ }
		survey, done := b.redrive(o)
		want := map[backfill.Refusal]int{backfill.OverMax: 1, backfill.OtherTopic: 3, backfill.NoValue: 1, backfill.NotReadable: 1}
		if !maps.Equal(refused, want) || survey.Chosen != 1 || done.Redriven != 1 {
			b.Errorf("refused %v, %+v, %+v", refused, survey, done)
		}

		o.AnyTopic, o.MaxRedrives = true, 4
		clear(refused)
		survey, done = b.redrive(o)
		want = map[backfill.Refusal]int{backfill.OtherTopic: 2, backfill.NoValue: 1, backfill.NotReadable: 1}
		if !maps.Equal(refused, want) || done.Redriven != 2 || len(b.all("elsewhere")) != 1 {
			b.Errorf("with --any-topic: refused %v, %+v, %+v", refused, survey, done)
		}
	})
}

func TestRedriveEditsValuesByAMergePatch(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 1, decision.Rejected)
		letter := decision.DeadLetter{Reason: decision.InvalidEvent, Error: "no"}
		broken := decision.Record{Topic: liveTopic, Value: []byte(`{"id":`)}
		b.put(letter.Record(lettersTopic, &broken))
		o := b.redriveOptions()
		o.Edit = []byte(`{"state":"COMPLETED_FAIL","id":null,"reason":"corrected <&>"}`)
		survey, done := b.redrive(o)
		if survey.Refused[backfill.NotEditable] != 1 || done.Redriven != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
		var edited decision.Record
		for _, rec := range b.all(backfillTopic) {
			if decision.Redrives(&rec) == 1 {
				edited = rec
			}
		}
		d, err := decision.Decode(&edited)
		if err != nil || d.State != decision.CompletedFail || d.OwnID || d.Reason != "corrected <&>" || d.Task != mustDecode(t, decided("", 1)).Task {
			b.Errorf("%s: %+v, %v", edited.Value, d, err)
		}
	})
}

func mustDecode(t *testing.T, rec decision.Record) decision.Decision {
	t.Helper()
	d, err := decision.Decode(&rec)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRedriveKeepsToItsRate(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 100, decision.Rejected)
		o := b.redriveOptions()
		o.Rate = 10
		began := time.Now()
		_, done := b.redrive(o)
		if took := time.Since(began); done.Redriven != 100 || took < 9*time.Second || took > 12*time.Second {
			b.Errorf("%+v in %v", done, took)
		}
	})
}

func TestRedriveThatIsStoppedGoesOn(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 100, decision.Rejected)
		o := b.redriveOptions()
		o.Rate = 10
		r, err := backfill.NewRedrive(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		done, err := r.Run(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || done.Redriven < 40 || done.Redriven > 60 {
			b.Errorf("%+v, %v", done, err)
		}
		if _, rest := b.redrive(o); rest.Redriven+done.Redriven != 100 {
			b.Errorf("%d and then %d", done.Redriven, rest.Redriven)
		}
		b.wantCopies([2]int{1, 100})
	})
}

// TestRedriveAfterACrashRepeatsNothing lets the commits fail from the start, so
// that nothing but the copies tells what went back; then Kafka forgets the notes too.
func TestRedriveAfterACrashRepeatsNothing(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 60, decision.Rejected)
		b.fail(liveTopic, 101, 60, decision.Rejected)
		o := b.redriveOptions()
		o.Rate = 10
		r, err := backfill.NewRedrive(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		var fault embedded.FaultHandle
		time.AfterFunc(500*time.Millisecond, func() {
			fault = b.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupLoadInProgress)})
		})
		time.AfterFunc(4500*time.Millisecond, cancel)
		done, err := r.Run(ctx)
		if err == nil {
			b.Errorf("%+v without an error", done)
		}
		fault.Lift()
		before := len(b.copies())
		if before == 0 || before == 120 {
			b.Fatalf("%d copies; the crash should be in the middle", before)
		}
		if _, rest := b.redrive(o); int(rest.Redriven)+before != 120 {
			b.Errorf("%d went back after %d", rest.Redriven, before)
		}
		b.wantCopies([2]int{1, 60}, [2]int{101, 60})

		// Without any commit, the copies are found again.
		other := o
		other.Group = "verdict-2"
		if survey, rest := b.redrive(other); rest.Redriven != 0 || survey.Already != 120 {
			b.Errorf("%+v, %+v", survey, rest)
		}
		b.wantCopies([2]int{1, 60}, [2]int{101, 60})
	})
}

func TestRedriveLooksBeforeItSendsAgain(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 30, decision.Rejected)
		b.fail(liveTopic, 101, 30, decision.Rejected)
		// Kafka stores what it calls timed out.
		fault := b.cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 4})
		_, done := b.redrive(b.redriveOptions())
		if done.Redriven != 60 || fault.Hits() != 4 {
			b.Errorf("%+v, %d hits", done, fault.Hits())
		}
		b.wantCopies([2]int{1, 30}, [2]int{101, 30})
	})
}

func TestRedriveOfWhatCameBackCountsUp(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 1, decision.Rejected)
		for want := range 3 {
			if _, done := b.redrive(b.redriveOptions()); done.Redriven != 1 {
				b.Fatalf("redrive %d: %+v", want+1, done)
			}
			all := b.all(backfillTopic)
			last := slices.MaxFunc(all, func(x, y decision.Record) int { return decision.Redrives(&x) - decision.Redrives(&y) })
			if got := decision.Redrives(&last); got != want+1 {
				b.Fatalf("redrives %d, want %d", got, want+1)
			}
			b.settle(last, "", decision.Rejected)
		}
		if survey, done := b.redrive(b.redriveOptions()); done.Redriven != 0 || survey.Refused[backfill.OverMax] != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
	})
}

func TestRedriveRefusesCommitsThatAreNotItsOwn(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.fail(backfillTopic, 1, 3, decision.Rejected)
		if err := b.conn.CommitGroupOffsets(b.Context(), "verdict-redrive", lettersTopic, map[int]broker.GroupOffset{0: {Offset: 1, Metadata: "mine"}}); err != nil {
			b.Fatal(err)
		}
		if _, err := backfill.NewRedrive(b.Context(), b.redriveOptions()); err == nil || !strings.Contains(err.Error(), "kafka.group_id") {
			b.Errorf("%v", err)
		}
	})
}
