package redrive_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
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
		if survey.Read != 200 || survey.Chosen != 50 || survey.ByReason[decision.RetriesExhausted] != 50 || done.Redriven != 50 {
			b.Errorf("%+v, %+v", survey, done)
		}
		wantCopies(b, [2]int{201, 50})

		// Another filter sends what the first one left, and nothing twice.
		o.Filter.Reasons = []decision.Reason{decision.Rejected, decision.RetriesExhausted}
		o.Limit = 30
		survey, done = scanAndRun(b, o)
		if survey.Chosen != 100 || survey.Already != 50 || done.Redriven != 30 || !done.Limited {
			b.Errorf("%+v, %+v", survey, done)
		}
		o.Limit = 0
		if _, done = scanAndRun(b, o); done.Redriven != 70 || done.Limited {
			b.Errorf("%+v", done)
		}
		wantCopies(b, [2]int{1, 50}, [2]int{201, 50}, [2]int{301, 50})

		if _, done = scanAndRun(b, options(b)); done.Redriven != 50 {
			b.Errorf("%+v", done)
		}
		if survey, done = scanAndRun(b, options(b)); done.Redriven != 0 || survey.Chosen != 0 || survey.Already != 200 {
			b.Errorf("%+v, %+v", survey, done)
		}
		wantCopies(b, [2]int{1, 50}, [2]int{101, 50}, [2]int{201, 50}, [2]int{301, 50})
	})
}

func TestScanSendsAndCommitsNothing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 5, decision.Rejected)
		r, err := redrive.New(b.Context(), options(b))
		if err != nil {
			b.Fatal(err)
		}
		if survey, err := r.Scan(b.Context()); err != nil || survey.Chosen != 5 || survey.ByError["that is why"] != 5 || survey.ByTopic[bulktest.BackfillTopic] != 5 {
			b.Errorf("%+v, %v", survey, err)
		}
		wantCopies(b)
		if _, _, ok := b.Cluster.Committed("verdict-redrive", bulktest.LettersTopic, 0); ok {
			b.Error("the scan committed offsets")
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
		if took := time.Since(began); done.Redriven != 100 || took < 9*time.Second || took > 12*time.Second {
			b.Errorf("%+v in %v", done, took)
		}
	})
}

func TestRedriveContinuesAfterAStop(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 100, decision.Rejected)
		o := options(b)
		o.Rate = 10
		r, err := redrive.New(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		done, err := r.Run(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || done.Redriven < 40 || done.Redriven > 60 {
			b.Errorf("%+v, %v", done, err)
		}
		if _, rest := scanAndRun(b, o); rest.Redriven+done.Redriven != 100 {
			b.Errorf("%d and then %d", done.Redriven, rest.Redriven)
		}
		wantCopies(b, [2]int{1, 100})
	})
}

// TestRedriveRepeatsNothingAfterACrash makes the commits fail from the start, so that only
// the copies show what went back. Then it uses a group without any commits.
func TestRedriveRepeatsNothingAfterACrash(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 60, decision.Rejected)
		fail(b, bulktest.LiveTopic, 101, 60, decision.Rejected)
		o := options(b)
		o.Rate = 10
		r, err := redrive.New(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		var fault embedded.FaultHandle
		time.AfterFunc(500*time.Millisecond, func() {
			fault = b.Cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupLoadInProgress)})
		})
		time.AfterFunc(4500*time.Millisecond, cancel)
		done, err := r.Run(ctx)
		if err == nil {
			b.Errorf("%+v without an error", done)
		}
		fault.Lift()
		before := len(copies(b))
		if before == 0 || before == 120 {
			b.Fatalf("%d copies; the crash should be in the middle", before)
		}
		if _, rest := scanAndRun(b, o); int(rest.Redriven)+before != 120 {
			b.Errorf("%d went back after %d", rest.Redriven, before)
		}
		wantCopies(b, [2]int{1, 60}, [2]int{101, 60})

		// Without any commit the copies are found as well.
		other := o
		other.Group = "verdict-2"
		if survey, rest := scanAndRun(b, other); rest.Redriven != 0 || survey.Already != 120 {
			b.Errorf("%+v, %+v", survey, rest)
		}
		wantCopies(b, [2]int{1, 60}, [2]int{101, 60})
	})
}

func TestRedriveDoesNotRepeatStoredRequests(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 30, decision.Rejected)
		fail(b, bulktest.LiveTopic, 101, 30, decision.Rejected)
		// Kafka stores the records and answers that the request timed out.
		fault := b.Cluster.Inject(embedded.Fault{API: embedded.Produce, Code: int(kafka.RequestTimedOut), Times: 4})
		_, done := scanAndRun(b, options(b))
		if done.Redriven != 60 || fault.Hits() != 4 {
			b.Errorf("%+v, %d hits", done, fault.Hits())
		}
		wantCopies(b, [2]int{1, 30}, [2]int{101, 30})
	})
}

func TestRedriveCountsTheRedrivesOfADecision(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 1, decision.Rejected)
		for want := range 3 {
			if _, done := scanAndRun(b, options(b)); done.Redriven != 1 {
				b.Fatalf("redrive %d: %+v", want+1, done)
			}
			all := b.All(bulktest.BackfillTopic)
			last := slices.MaxFunc(all, func(x, y decision.Record) int { return decision.Redrives(&x) - decision.Redrives(&y) })
			if got := decision.Redrives(&last); got != want+1 {
				b.Fatalf("redrives %d, want %d", got, want+1)
			}
			b.Settle(last, "", decision.Rejected)
		}
		if survey, done := scanAndRun(b, options(b)); done.Redriven != 0 || survey.Refused[redrive.OverMax] != 1 {
			b.Errorf("%+v, %+v", survey, done)
		}
	})
}

func TestRedriveRejectsCommitsOfOtherPrograms(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 3, decision.Rejected)
		if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict-redrive", bulktest.LettersTopic, map[int]broker.GroupOffset{0: {Offset: 1, Metadata: "mine"}}); err != nil {
			b.Fatal(err)
		}
		if _, err := redrive.New(b.Context(), options(b)); err == nil || !strings.Contains(err.Error(), "kafka.group_id") {
			b.Errorf("%v", err)
		}
	})
}
