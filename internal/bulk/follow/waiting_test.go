package follow_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// inOnePartition puts the decisions 1 to n of a batch into one partition of the backfill.
func inOnePartition(b *bulktest.Kafka, batch string, n int) []decision.Record {
	b.Helper()
	for i := range n {
		rec := bulktest.InBatch(bulktest.BackfillTopic, batch, i+1, n)
		rec.Key = []byte("one")
		b.Put(rec)
	}
	return b.All(bulktest.BackfillTopic)
}

// commit commits an offset for the service's group, with these offsets settled beyond it.
func commit(b *bulktest.Kafka, partition int, offset int64, settled ...int64) {
	b.Helper()
	tracker := offsets.NewTracker(offset)
	for i := range int64(100) {
		tracker.Track(offset + i)
	}
	for _, at := range settled {
		tracker.Settle(at)
	}
	if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict", bulktest.BackfillTopic, map[int]broker.GroupOffset{
		partition: {Offset: offset, Metadata: offsets.Encode(tracker, nil, offsets.DefaultMetadataSize)},
	}); err != nil {
		b.Fatal(err)
	}
}

func TestFollowOnceCallsNothingMissingThatWaits(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		records := inOnePartition(b, "b", 10)
		b.Settle(records[0], decision.Completed, "")
		b.Settle(records[7], decision.Completed, "") // the group has not committed it yet
		o := options(b, "b")
		o.Once, o.Group = true, "verdict"
		check := func(name, want string) {
			b.Helper()
			var report bytes.Buffer
			o.Report = &report
			sum, err := follow.Follow(b.Context(), o)
			if got := fmt.Sprintf("missing=%d waiting=%d open=%d", sum.Missing, sum.Waiting, len(sum.Open)); err != nil || got != want {
				b.Errorf("%s: %v, %s, want %s", name, err, got, want)
			}
			rows, err := csv.NewReader(&report).ReadAll()
			if err != nil {
				b.Fatal(err)
			}
			outcomes := map[string]int64{}
			for _, row := range rows[1:] {
				outcomes[row[4]]++
			}
			wanted := map[string]int64{"completed": 2, "missing": sum.Missing, "waiting": sum.Waiting}
			maps.DeleteFunc(wanted, func(_ string, n int64) bool { return n == 0 })
			if !maps.Equal(outcomes, wanted) {
				b.Errorf("%s: the report has %v, want %v", name, outcomes, wanted)
			}
		}
		check("nothing committed", "missing=0 waiting=8 open=0")
		commit(b, records[0].Partition, 1)
		check("up to offset 1", "missing=0 waiting=8 open=0")
		commit(b, records[0].Partition, 3, 5, 7, 8)
		check("two passed, and two beyond", "missing=4 waiting=4 open=4") // 1 and 2, 5 and 8
		commit(b, records[0].Partition, 10)
		check("all passed", "missing=8 waiting=0 open=8")
		o.Group = ""
		check("no group", "missing=8 waiting=0 open=8")
		o.Group = "verdict"
		b.Cluster.Inject(embedded.Fault{API: embedded.OffsetFetch, Code: int(kafka.GroupAuthorizationFailed), Times: 2})
		check("no right to know", "missing=0 waiting=8 open=0")
	})
}

// TestFollowCountsACopyByItsOwnPlace has a redriven decision that waits behind the group's
// offset, while its first record was passed long ago.
func TestFollowCountsACopyByItsOwnPlace(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		records := inOnePartition(b, "b", 1)
		b.Settle(records[0], "", decision.Rejected)
		letter := b.All(bulktest.LettersTopic)[0]
		l, err := decision.ParseDeadLetter(&letter)
		if err != nil {
			b.Fatal(err)
		}
		b.Put(l.Redriven(letter.Origin()))
		commit(b, records[0].Partition, 1)
		o := options(b, "b")
		o.Once, o.Group = true, "verdict"
		sum, err := follow.Follow(b.Context(), o)
		if err != nil || sum.Waiting != 1 || sum.Missing != 0 || sum.Redriven != 1 {
			b.Errorf("%+v, %v", sum, err)
		}
	})
}

// run is a record's header that names the run that wrote it.
func run(rec decision.Record, name string) decision.Record {
	rec.Headers = append(rec.Headers, decision.Header{Key: decision.HeaderRun, Value: []byte(name)})
	return rec
}

func TestFollowBelievesTheLedger(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		known := &ledger.Batch{Size: 5, Sent: 3, Runs: []string{"first"}}
		o := options(b, "b")
		o.Once, o.Group = true, "verdict"
		o.Batch = func(context.Context) (*ledger.Batch, error) { return known, nil }
		forged := bulktest.Named(bulktest.BackfillTopic, "b", 101)
		forged.Headers = decision.BatchPlace{ID: "b", Line: 1, Size: 1000}.Headers()
		b.Put(
			run(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 5), "first"), run(bulktest.InBatch(bulktest.BackfillTopic, "b", 2, 5), "first"), run(bulktest.InBatch(bulktest.BackfillTopic, "b", 3, 5), "second"),
			forged, bulktest.Named(bulktest.LiveTopic, "b", 102), run(bulktest.InBatch(bulktest.BackfillTopic, "b", 4, 5), "somebody's"),
		)
		for _, topic := range []string{bulktest.LiveTopic, bulktest.BackfillTopic} {
			for _, rec := range b.All(topic) {
				b.Settle(rec, decision.Completed, "")
			}
		}
		known.Runs = []string{"first", "second"}
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=5 submitted=3 settled=3 completed=3 dead=0 missing=0 notfound=0 redriven=0")
		if sum.Waiting != 2 || !strings.HasSuffix(sum.Reconciliation(), " missing=0 waiting=2") {
			b.Errorf("%d wait, want the 2 that are not sent: %s", sum.Waiting, sum.Reconciliation())
		}
		known.Ended, known.Sent = time.Now(), 5
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=5 submitted=3 settled=3 completed=3 dead=0 missing=2 notfound=2 redriven=0")
		known.FirstEdition = true // whose rows name no run
		sum, err = follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=5 submitted=5 settled=5 completed=5 dead=0 missing=0 notfound=0 redriven=0")
	})
}

// A batch is known before its first row is sent.
func TestFollowWaitsForTheFirstRow(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		known := &ledger.Batch{Size: 1, Runs: []string{"first"}}
		o := options(b, "b")
		o.Batch = func(context.Context) (*ledger.Batch, error) {
			copied := *known
			return &copied, nil
		}
		time.AfterFunc(time.Minute, func() {
			rec := run(bulktest.InBatch(bulktest.BackfillTopic, "b", 1, 1), "first")
			b.Put(rec)
			b.Settle(b.All(bulktest.BackfillTopic)[0], decision.Completed, "")
		})
		sum, err := follow.Follow(b.Context(), o)
		wantSummary(b, sum, err, "size=1 submitted=1 settled=1 completed=1 dead=0 missing=0 notfound=0 redriven=0")
	})
}
