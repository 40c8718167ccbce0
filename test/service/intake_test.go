package service_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// TestAbortedTransactionsAreNotCarriedOut has a sender abort every other transaction, and
// leave one open.
func TestAbortedTransactionsAreNotCarriedOut(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		sender := func(id string) *kgo.Client {
			c, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.Dialer(w.network.DialContext),
				kgo.TransactionalID(id), kgo.TransactionTimeout(15*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		send := func(c *kgo.Client, i int, committed bool) {
			it := task(i, i)
			r, err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(it.ProfileID), Value: []byte(value(it, decision.CompletedPass))}).First()
			if err != nil {
				t.Fatal(err)
			}
			if committed {
				w.submitted[decision.Position{Topic: topic, Offset: r.Offset}] = sent{it, decision.CompletedPass}
			}
		}
		a, open := sender("a"), sender("open")
		defer a.Close()
		defer open.Close()
		m := w.start()
		for i := range 20 {
			if err := a.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			commit := i%2 == 0
			send(a, 2*i, commit)
			send(a, 2*i+1, commit)
			if err := a.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.await(time.Minute, "every offset is committed", func() bool {
			at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, 0)
			return at == w.kafka.HighWatermark(topic, 0)
		})
		if err := open.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		send(open, 100, true)
		time.Sleep(14 * time.Minute)
		if lines := w.logLines("behind a producer's open transaction"); len(lines) != 2 || !strings.Contains(lines[0], "offset=60 records=1") {
			t.Errorf("%q, want a line after a minute and another ten minutes later", lines)
		}
		if n := len(w.completions()); n != 20 {
			t.Errorf("%d calls while a transaction is open, want 20", n)
		}
		if lag := m.metric("verdict_consumer_lag", "topic", topic, "partition", "0"); lag != 1 {
			t.Errorf("the lag is %v with one record in an open transaction", lag)
		}
		if err := open.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		w.awaitAll(time.Minute)
		if lines := w.logLines("the transaction has ended"); len(lines) != 1 {
			t.Errorf("%q, want one line", lines)
		}
		m.stop()
		w.checkSettledOnce()
		w.checkOneCallEach()
		w.wantNoDeadLetters()
	})
}

// TestBatchThatCannotBeReadIsOneDeadLetter has batches of garbage, records that are too
// large, and one that unpacks to a gigabyte, with good decisions before, between, behind
// and within.
func TestBatchThatCannotBeReadIsOneDeadLetter(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		produce := func(b fixture.Batch) { fixture.ProduceBatch(t, w.kafka, w.network, topic, 0, b) }
		n := 0
		good := func() []byte {
			n++
			it := task(n, n)
			return []byte(value(it, decision.CompletedPass))
		}
		sendGood := func() {
			produce(fixture.Batch{Records: 1, Packed: fixture.RecordOf(0, nil, good())})
		}
		size := 1 << 30
		if fixture.RaceEnabled() {
			size = 128 << 20
		}

		sendGood()
		produce(fixture.Batch{Records: 7, Attributes: 1, Packed: []byte("no gzip")})
		sendGood()
		produce(fixture.Batch{Records: 3, Packed: append(fixture.RecordOf(0, nil, good()), "garbage"...)})
		produce(fixture.Batch{Records: 3, Packed: bytes.Join([][]byte{
			fixture.RecordOf(0, nil, good()), fixture.RecordOf(1, []byte("k"), bytes.Repeat([]byte("x"), 500<<10)), fixture.RecordOf(2, nil, good()),
		}, nil)})
		produce(fixture.Bomb(fixture.Zstd, []byte("its key"), size, good(), good()))
		sendGood()

		m := w.start()
		w.await(time.Minute, "all is settled", func() bool {
			at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, 0)
			return at == w.kafka.HighWatermark(topic, 0)
		})
		m.stop()
		if results := w.count(w.cfg.Kafka.Topics.Results); results != n {
			t.Errorf("%d of %d good decisions are carried out", results, n)
		}
		var says []string
		letters := w.deadLetters()
		slices.SortFunc(letters, func(a, b decision.DeadRecord) int { return int(a.Original.Offset - b.Original.Offset) })
		for _, d := range letters {
			says = append(says, fmt.Sprintf("%d %s %q, %d bytes: %s", d.Original.Offset, d.Reason, d.Original.Key, len(d.Original.Value), d.Error))
		}
		for i, want := range []string{
			"1 invalid_event \"\", 0 bytes: value: the batch at offsets 1 to 7 (7) can't be read: gzip: ",
			"10 invalid_event \"\", 0 bytes: value: the batch at offsets 10 to 11 (2) can't be read: record 2 of 3: ",
			"13 invalid_event \"k\", 512000 bytes: value: the record has 512001 bytes; the limit is 65536",
			"16 invalid_event \"its key\", 0 bytes: value: the record has 1",
		} {
			if i >= len(says) || !strings.HasPrefix(says[i], want) {
				t.Fatalf("dead letters:\n%s\nwant at %d %s", strings.Join(says, "\n"), i, want)
			}
		}
		for _, d := range letters {
			if omitted := d.Original.Offset != 13; d.ValueOmitted != omitted {
				t.Errorf("%d: the value is said to be omitted: %v", d.Original.Offset, d.ValueOmitted)
			}
		}
		if len(says) != 4 {
			t.Errorf("dead letters:\n%s", strings.Join(says, "\n"))
		}
	})
}

// TestRecordsDeletedUnreadAreCounted has retention delete records that wait, while the
// service runs.
func TestRecordsDeletedUnreadAreCounted(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		w.cfg.Processor.MaxPending = 10
		w.setFaults(func(sandbox.Call) sandbox.Fault {
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
		})
		var records []outgoing
		for i := range 6000 { // more than the members read ahead
			records = append(records, decisionOn(topic, task(i*8, i), decision.CompletedPass, fmt.Sprintf(`"reason":%q`, strings.Repeat("r", 1000))))
		}
		for some := range slices.Chunk(records, 500) {
			w.send(some...)
		}
		m := w.start()
		time.Sleep(10 * time.Second)
		lost := 0
		for p := range partitions {
			end := w.kafka.HighWatermark(topic, p)
			fixture.DeleteRecords(t, w.kafka, w.network, topic, p, end)
			lost += int(end)
		}
		w.setFaults(nil)
		w.await(10*time.Minute, "all is committed", func() bool {
			for p := range partitions {
				if at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p); at != w.kafka.HighWatermark(topic, p) {
					return false
				}
			}
			return true
		})
		counted := int(m.metric("verdict_records_lost_total", "topic", topic))
		if done := w.count(w.cfg.Kafka.Topics.Results); counted == 0 || counted+done != lost {
			t.Errorf("%d records are counted as lost and %d done, of %d", counted, done, lost)
		}
		if lag := m.metric("verdict_backlog", "lane", "live"); lag != 0 {
			t.Errorf("the backlog is %v", lag)
		}
		if len(w.logLines("deleted by the topic's retention")) == 0 {
			t.Error("the log does not say so")
		}
		m.stop()
	})
}
