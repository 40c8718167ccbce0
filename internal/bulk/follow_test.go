package backfill_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	backfill "verdict/internal/bulk"
	"verdict/internal/decision"
)

// The topics of the tests' cluster.
const (
	liveTopic     = "live"
	backfillTopic = "backfill"
	resultsTopic  = "results"
	lettersTopic  = "letters"
)

// kafka is a cluster in a bubble with something that writes into it by hand what
// the service would.
type kafkaBench struct {
	*testing.T
	network   *embedded.Network
	cluster   *embedded.Cluster
	conn      *broker.Connection
	publisher *broker.Publisher
}

func inKafka(t *testing.T, test func(b *kafkaBench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &kafkaBench{T: t, network: new(embedded.Network)}
		var err error
		if b.cluster, err = embedded.Start(embedded.Options{
			Listen: b.network.Listen,
			Topics: map[string]int{liveTopic: 2, backfillTopic: 3, resultsTopic: 2, lettersTopic: 2, "elsewhere": 1},
		}); err != nil {
			t.Fatal(err)
		}
		defer b.cluster.Close()
		if b.conn, err = broker.NewConnection(broker.Options{Brokers: b.cluster.Addrs(), DialFunc: b.network.DialContext}); err != nil {
			t.Fatal(err)
		}
		defer b.conn.Close()
		b.publisher = broker.NewPublisher(broker.PublisherOptions{Client: b.conn.Client()})
		defer func() { _ = b.publisher.Close(context.Background()) }()
		test(b)
	})
}

// put publishes records and waits until they are there.
func (b *kafkaBench) put(records ...decision.Record) {
	b.Helper()
	done := make(chan error, len(records))
	for _, rec := range records {
		if err := b.publisher.Publish(b.Context(), rec, func(err error) { done <- err }); err != nil {
			b.Fatal(err)
		}
	}
	for range records {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// all is every record of a topic.
func (b *kafkaBench) all(topic string) []decision.Record {
	b.Helper()
	var all []decision.Record
	if err := b.conn.Scan(b.Context(), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
		all = append(all, rec)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return all
}

// decided is the record of a decision, by its number.
func decided(topic string, i int, headers ...decision.Header) decision.Record {
	profile := fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", i, i)
	return decision.Record{
		Topic: topic, Key: []byte(profile), Headers: headers,
		Value: fmt.Appendf(nil, `{"id":"d-%d","profile_id":%q,"task_id":"%08x-dddd-eeee-ffff-%012x","state":"COMPLETED_PASS"}`, i, profile, i, i),
	}
}

// inBatch is the record of a decision as submit sends it.
func inBatch(topic, batch string, i, size int) decision.Record {
	return decided(topic, i, decision.BatchPlace{ID: batch, Line: int64(i), Size: int64(size)}.Headers()...)
}

// named is the record of a decision that has its batch in its value alone.
func named(topic, batch string, i int) decision.Record {
	rec := decided(topic, i)
	rec.Value = append(rec.Value[:len(rec.Value)-1], fmt.Sprintf(`,"batch_id":%q}`, batch)...)
	return rec
}

// settle publishes what the service would for a record: a result, or for a reason
// a dead letter.
func (b *kafkaBench) settle(rec decision.Record, outcome decision.Outcome, reason decision.Reason) {
	b.Helper()
	d, _ := decision.Decode(&rec)
	if reason != "" {
		letter := decision.DeadLetter{Reason: reason, Error: "that is why", HTTPStatus: 422, Attempts: 2, DecisionID: d.ID, FailedAt: decision.Time{Time: time.Now()}, Instance: "x"}
		b.put(letter.Record(lettersTopic, &rec))
		return
	}
	result := decision.Result{
		DecisionID: d.ID, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State, Outcome: outcome, Attempts: 1, HTTPStatus: 200,
		ReceivedAt: decision.Time{Time: time.Now()}, CompletedAt: decision.Time{Time: time.Now()}, BatchID: d.BatchID, Origin: rec.Origin(),
	}
	b.put(result.Record(resultsTopic, rec.Key))
}

func (b *kafkaBench) options(batch string) backfill.FollowOptions {
	return backfill.FollowOptions{
		Connection: b.conn, BatchID: batch, Decisions: []string{liveTopic, backfillTopic}, Results: resultsTopic, DeadLetters: lettersTopic,
	}
}

// line is what matters of a sum.
func line(s backfill.FollowSum) string {
	return fmt.Sprintf("size=%d submitted=%d settled=%d completed=%d dead=%d missing=%d notfound=%d redriven=%d",
		s.Size, s.Submitted, s.Settled, s.Outcomes[decision.Completed], s.DeadLettered, s.Missing, s.NotFound, s.Redriven)
}

func (b *kafkaBench) want(s backfill.FollowSum, err error, want string) {
	b.Helper()
	if got := line(s); err != nil || got != want {
		b.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestFollowFindsABatchWhateverItIsKnownBy(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		for i := range 30 {
			b.put(inBatch(backfillTopic, "by-header", i+1, 30), named(liveTopic, "by-value", 100+i), inBatch(backfillTopic, "other", 200+i, 30))
		}
		// One whose header and value name two batches is of the header's.
		both := inBatch(backfillTopic, "by-header", 31, 31)
		both.Value = named(backfillTopic, "by-value", 31).Value
		b.put(both)
		for _, topic := range []string{liveTopic, backfillTopic} {
			for _, rec := range b.all(topic) {
				b.settle(rec, decision.Completed, "")
			}
		}
		sum, err := backfill.Follow(b.Context(), b.options("by-header"))
		b.want(sum, err, "size=31 submitted=31 settled=31 completed=31 dead=0 missing=0 notfound=0 redriven=0")
		sum, err = backfill.Follow(b.Context(), b.options("by-value"))
		b.want(sum, err, "size=0 submitted=30 settled=30 completed=30 dead=0 missing=0 notfound=0 redriven=0")
	})
}

func TestFollowWaitsUntilAllAreSubmittedAndSettled(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		const n = 40
		for i := range n / 2 {
			b.put(inBatch(backfillTopic, "b", i+1, n))
		}
		go func() { // one more every second, and settled a second later
			for i := range n / 2 {
				time.Sleep(time.Second)
				b.put(inBatch(backfillTopic, "b", n/2+i+1, n))
			}
			for _, rec := range b.all(backfillTopic) {
				time.Sleep(time.Second)
				b.settle(rec, decision.Completed, "")
			}
		}()
		began := time.Now()
		o := b.options("b")
		var rate float64
		var left time.Duration
		o.Progress = func(s backfill.FollowSum) {
			if s.Settled >= 20 && rate == 0 {
				rate, left = s.Rate, s.Left
			}
		}
		sum, err := backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=40 submitted=40 settled=40 completed=40 dead=0 missing=0 notfound=0 redriven=0")
		if took := time.Since(began); took < time.Minute || took > 63*time.Second {
			b.Errorf("took %v, want a minute and a look", took)
		}
		if rate < 0.3 || rate > 1.1 || left < 15*time.Second || left > time.Minute {
			b.Errorf("half-way the rate was %v, %v left", rate, left)
		}
	})
}

func TestFollowOnceSaysWhatIsMissing(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		for i := range 30 {
			b.put(inBatch(backfillTopic, "b", i+1, 35))
		}
		for i, rec := range b.all(backfillTopic) {
			switch i % 3 {
			case 0:
				b.settle(rec, decision.Completed, "")
			case 1:
				b.settle(rec, "", decision.Rejected)
			}
		}
		o := b.options("b")
		o.Once = true
		var report bytes.Buffer
		o.Report = &report
		sum, err := backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=35 submitted=30 settled=20 completed=10 dead=10 missing=15 notfound=5 redriven=0")
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
		sum, err = backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=35 submitted=30 settled=20 completed=10 dead=10 missing=15 notfound=5 redriven=0")
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			b.Errorf("with a time-out of 10s it took %v", took)
		}
	})
}

func TestFollowCountsRedrivenDecisionsByTheirLatestFate(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		for i := range 3 {
			b.put(inBatch(backfillTopic, "b", i+1, 3))
		}
		for _, rec := range b.all(backfillTopic) {
			b.settle(rec, "", decision.Rejected)
		}
		letters := b.all(lettersTopic)
		for _, rec := range letters[:2] {
			d, err := decision.ParseDeadLetter(&rec)
			if err != nil {
				b.Fatal(err)
			}
			b.put(d.Redriven(rec.Origin()))
		}
		o := b.options("b")
		o.Once = true
		sum, err := backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=3 submitted=3 settled=1 completed=0 dead=1 missing=2 notfound=0 redriven=2")
		n := 0
		for _, rec := range b.all(backfillTopic) {
			if decision.Redrives(&rec) == 1 {
				if n++; n == 1 {
					b.settle(rec, decision.Completed, "")
				} else {
					b.settle(rec, "", decision.Conflict)
				}
			}
		}
		var report bytes.Buffer
		o.Report = &report
		sum, err = backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=3 submitted=3 settled=3 completed=1 dead=2 missing=0 notfound=0 redriven=2")
		rows, err := csv.NewReader(&report).ReadAll()
		if err != nil || len(rows) != 4 {
			b.Errorf("%d rows, %v:\n%q", len(rows), err, rows)
		}
	})
}

func TestFollowKnowsADecisionByItsEndAloneWhereRetentionDeletedIt(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		gone := named(liveTopic, "b", 1)
		gone.Offset = 77
		b.settle(gone, decision.Completed, "")
		gone = inBatch(backfillTopic, "b", 2, 2)
		gone.Offset = 78
		b.settle(gone, "", decision.Expired)
		sum, err := backfill.Follow(b.Context(), b.options("b"))
		b.want(sum, err, "size=2 submitted=2 settled=2 completed=1 dead=1 missing=0 notfound=0 redriven=0")
	})
}

func TestFollowSaysWhichBatchesThereAreIfNotThisOne(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.put(inBatch(backfillTopic, "march", 1, 1), named(liveTopic, "april", 2))
		_, err := backfill.Follow(b.Context(), b.options("may"))
		if !errors.Is(err, backfill.ErrNoBatch) || !strings.Contains(err.Error(), "march") || !strings.Contains(err.Error(), "april") {
			b.Errorf("%v", err)
		}
		o := b.options("march")
		o.Since = time.Now().Add(time.Hour)
		if _, err := backfill.Follow(b.Context(), o); !errors.Is(err, backfill.ErrNoBatch) || !strings.Contains(err.Error(), "--since") {
			b.Errorf("%v", err)
		}
	})
}

func TestFollowSeesAnOutageThroughAndSaysAWrongAddressAtOnce(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.put(inBatch(backfillTopic, "b", 1, 1))
		go func() {
			time.Sleep(5 * time.Second)
			b.network.Cut()
			time.Sleep(5 * time.Minute)
			b.network.Mend()
			b.settle(b.all(backfillTopic)[0], decision.Completed, "")
		}()
		o := b.options("b")
		told := 0
		o.Retrying = func(error) { told++ }
		sum, err := backfill.Follow(b.Context(), o)
		b.want(sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=0")
		if told == 0 {
			b.Error("nobody was told of the outage")
		}

		b.network.Cut()
		began := time.Now()
		_, err = backfill.Follow(b.Context(), b.options("b"))
		if err == nil || time.Since(began) > time.Minute {
			b.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestFollowThatIsStoppedSaysWhatItKnows(t *testing.T) {
	inKafka(t, func(b *kafkaBench) {
		b.put(inBatch(backfillTopic, "b", 1, 2), inBatch(backfillTopic, "b", 2, 2))
		b.settle(b.all(backfillTopic)[0], decision.Completed, "")
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		time.AfterFunc(10*time.Second, cancel)
		sum, err := backfill.Follow(ctx, b.options("b"))
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%v", err)
		}
		b.want(sum, nil, "size=2 submitted=2 settled=1 completed=1 dead=0 missing=1 notfound=0 redriven=0")
	})
}
