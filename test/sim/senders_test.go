package sim_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/broker"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/test/fixture"
)

func (w *world) topicOf(l decision.Lane) string {
	if l == decision.Backfill {
		return w.cfg.Kafka.Topics.Backfill
	}
	return w.cfg.Kafka.Topics.Decisions
}

// placeOf is what has one partition: a profile, in a topic.
type placeOf struct{ topic, profile string }

// partitionOf returns the partition of a profile, which stays its own when partitions are
// added: the order of a task's decisions is that of one partition.
func (w *world) partitionOf(topic, profile string) int {
	of := placeOf{topic, profile}
	p, ok := w.places[of]
	if !ok {
		all := make([]int, w.parts[topic])
		for i := range all {
			all[i] = i
		}
		p = kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(profile)}, all...)
		w.places[of] = p
	}
	return p
}

// place returns the place of a record that was sent, or was read, at a time. A topic that
// was made again is another one, and has another name there.
func (w *world) place(at decision.Position, when time.Time) decision.Position {
	if remade, ok := w.remade[at.Topic]; ok && !when.Before(remade) {
		at.Topic += " made again"
	}
	return at
}

// submit puts a record into its topic.
func (w *world) submit(s *send) {
	topic, key, value := w.topicOf(s.lane), []byte(s.task.ProfileID), []byte(s.record())
	partition := w.partitionOf(topic, s.task.ProfileID)
	sent := func(offset int64, s *send) {
		w.sent[w.place(decision.Position{Topic: topic, Partition: partition, Offset: offset}, time.Now())] = s
	}
	produce := func(b fixture.Batch) (offset int64) {
		w.mu.Lock() // no member sees it before it is known to be changed
		defer w.mu.Unlock()
		offset = fixture.ProduceBatch(w.t, w.kafka, w.network, topic, partition, b)
		w.changed[decision.Position{Topic: topic, Partition: partition, Offset: offset}] = s.form
		return offset
	}
	record := func(n int) []byte { return fixture.RecordOf(n, key, value) }
	switch s.form {
	case garbled:
		sent(produce(fixture.Batch{Records: 3, Attributes: uint16(fixture.Gzip), Packed: []byte("no gzip")}), s)
	case spoiled:
		sent(produce(fixture.Batch{Records: 3, Packed: bytes.Join([][]byte{record(0), record(1), record(2)}, nil)}), s)
	case torn:
		at := produce(fixture.Batch{Records: 3, Packed: append(record(0), "garbage"...)})
		sent(at, s)
		sent(at+1, &send{kind: broken, size: 2})
	case escorted:
		// Not zstd: its decoders, which are used again, belong to one bubble.
		at := produce(fixture.Bomb(fixture.Gzip, key, 2<<20, value, value))
		again := *s
		sent(at, s)
		sent(at+1, &send{kind: hostile})
		sent(at+2, &again)
	case thinned:
		sent(produce(fixture.Batch{Records: 3, Packed: record(2)})+2, s)
	case emptied:
		produce(fixture.Batch{Records: 3, Packed: []byte("compacted away")})
	case alone:
		sent(w.produce(s.in, topic, partition, key, value, runOf(s)), s)
	}
}

// produce stores a record, in a transaction if in is not 0, and returns its offset.
func (w *world) produce(in int, topic string, partition int, key, value []byte, run string) (offset int64) {
	var headers []kafka.Header
	var same []kgo.RecordHeader
	if run != "" {
		headers = []kafka.Header{{Key: decision.HeaderRun, Value: []byte(run)}}
		same = []kgo.RecordHeader{{Key: decision.HeaderRun, Value: []byte(run)}}
	}
	for {
		if in > 0 {
			r, err := w.senders[in].ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Partition: int32(partition), Key: key, Value: value, Headers: same}).First()
			switch {
			case err == nil:
				return r.Offset
			case !strings.Contains(err.Error(), "invalid record partitioning choice"): // the client does not know the partition yet
				w.t.Fatalf("send in a transaction: %v", err)
			}
			w.senders[in].ForceMetadataRefresh()
			time.Sleep(100 * time.Millisecond)
			continue
		}
		answer, err := w.client.Client().Produce(w.t.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes(key), Value: kafka.NewBytes(value), Headers: headers, Time: time.Now()}),
		})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			return answer.BaseOffset
		}
		// Its leader has just moved, or the client does not know the topic or partition yet.
		if code, ok := errors.AsType[kafka.Error](err); (!ok || !code.Temporary()) && !errors.Is(err, protocol.ErrNoPartition) && !errors.Is(err, protocol.ErrNoTopic) {
			w.t.Fatalf("send: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// openTransaction begins a transaction of a sender of its own, by its number.
func (w *world) openTransaction(n int) {
	c, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.Dialer(w.network.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(fmt.Sprint("sender-", n)), kgo.TransactionTimeout(10*time.Minute), kgo.MetadataMinAge(100*time.Millisecond))
	if err == nil {
		err = c.BeginTransaction()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	w.senders[n] = c
}

func (w *world) endTransaction(n int, commit bool) {
	if err := w.senders[n].EndTransaction(w.t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		w.t.Fatal(err)
	}
	w.senders[n].Close()
}

// redrive sends the dead letters back, as the command does. A person does not begin it while
// a topic is made again, nor while a transaction is open: it would wait for the end of that.
func (w *world) redrive() {
	for _, f := range w.plan.faults {
		until := f.at
		if f.kind == kafkaRemakes {
			until = f.resumes()
		} else if f.kind == sendsCommit || f.kind == sendsAbort {
			until = f.until()
		}
		if f.at <= w.since() && w.since() < until {
			return
		}
	}
	w.mu.Lock()
	w.found = true
	w.mu.Unlock()
	letters, topics := w.cfg.Kafka.Topics.DeadLetters, w.cfg.Kafka.Topics.Inputs()
	for _, rec := range w.read(letters, nil) {
		if d, _ := w.parseLetter(&rec); !d.ValueOmitted && d.Redrives < redrive.DefaultMaxRedrives {
			w.copies[rec.Origin()] += 0
		}
	}
	before := make(map[string]map[int]int64)
	for _, topic := range topics {
		before[topic] = make(map[int]int64)
		for p := range w.parts[topic] {
			before[topic][p] = w.kafka.HighWatermark(topic, p)
		}
	}
	for done := 0; done < 2; { // twice: the second time they have gone back
		if err := w.runRedrive(topics); err == nil {
			done++
		} else if w.t.Context().Err() != nil {
			w.t.Fatal(err)
		}
	}
	of := make(map[decision.Position]decision.Position) // the records of the dead letters
	for _, rec := range w.read(letters, nil) {
		_, of[rec.Origin()] = w.parseLetter(&rec)
	}
	for _, topic := range topics {
		// Nobody else has sent meanwhile. What a transaction that failed has left is not there.
		err := w.client.Scan(w.t.Context(), broker.ScanOptions{Topic: topic, Offsets: before[topic]}, func(rec decision.Record) error {
			letter, _ := decision.RedrivenFrom(&rec)
			w.copies[letter]++
			again := *w.sent[of[letter]]
			again.form, again.in, again.gone, again.again = alone, 0, false, true
			w.sent[w.place(rec.Origin(), time.Now())] = &again
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) runRedrive(topics []string) error {
	r, err := redrive.New(w.t.Context(), redrive.Options{
		Ledger: store.Options{
			Connection: w.client, Control: w.cfg.Kafka.Topics.Control, Audit: w.cfg.Kafka.Topics.Audit, Group: w.cfg.Kafka.GroupID,
			Author: ledger.Author{Actor: "people", Host: "here", Run: rand.Text(), Command: "redrive"},
		},
		DeadLetters: w.cfg.Kafka.Topics.DeadLetters, Targets: topics,
	})
	if err == nil {
		_, err = r.Run(w.t.Context())
	}
	return err
}
