package broker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/test/fixture"
)

// franzOn returns a producer, which is idempotent.
func franzOn(t *testing.T, conn *broker.Connection, o ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(conn.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produceOn(t *testing.T, c *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := c.ProduceSync(withTimeout(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// scanKafka returns the records of a topic.
func scanKafka(t *testing.T, conn *broker.Connection, topic string) (records []decision.Record) {
	t.Helper()
	err := conn.Scan(withTimeout(t), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
		records = append(records, rec)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestKafkaBatchesThatCompactionEmptied has the last batches of idempotent producers lose
// all their records. Kafka keeps those batches, empty.
func TestKafkaBatchesThatCompactionEmptied(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001", "segment.ms": "200", "max.compaction.lag.ms": "500",
	})
	for i := range 3 {
		produceOn(t, franzOn(t, conn), &kgo.Record{Topic: topic, Key: []byte("a"), Value: fmt.Append(nil, i)}, &kgo.Record{Topic: topic, Key: []byte("b"), Value: fmt.Append(nil, i)})
	}
	last := franzOn(t, conn)
	deadline := time.Now().Add(90 * time.Second)
	for n := 0; ; n++ {
		produceOn(t, last, &kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte("new")}, &kgo.Record{Topic: topic, Key: []byte("b"), Value: []byte("new")})
		time.Sleep(500 * time.Millisecond) // the segment ends with a later record
		old := 0
		for _, rec := range scanKafka(t, conn, topic) {
			if string(rec.Value) != "new" {
				old++
			}
		}
		if old == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d old records are not compacted away", old)
		}
	}
	f, err := conn.Fetch(withTimeout(t), broker.FetchRequest{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	next, err := f.Read(func(rec decision.Record) error {
		if string(rec.Value) != "new" || rec.Fault != "" {
			t.Errorf("%+v", rec)
		}
		return nil
	})
	if err != nil || next == 0 {
		t.Errorf("next %d, %v", next, err)
	}
}

func TestKafkaAbortedTransactionsAreLeftOut(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, nil)
	var want []string
	senders := []*kgo.Client{franzOn(t, conn, kgo.TransactionalID(topic+"-a")), franzOn(t, conn, kgo.TransactionalID(topic+"-b"))}
	for i := range 20 {
		for _, c := range senders { // each has one open at the same time
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
		}
		for s, c := range senders {
			for n := range 3 {
				value := fmt.Sprintf("%d-%d-%d", i, s, n)
				produceOn(t, c, &kgo.Record{Topic: topic, Value: []byte(value)})
				if (i+s)%3 == 0 {
					want = append(want, value)
				}
			}
		}
		for s, c := range senders {
			if err := c.EndTransaction(withTimeout(t), kgo.TransactionEndTry((i+s)%3 == 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	for ctx := withTimeout(t); len(got) < len(want) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		got = nil // the coordinator answers before it has written the marker
		for _, rec := range scanKafka(t, conn, topic) {
			got = append(got, string(rec.Value))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKafkaCompressions(t *testing.T) {
	conn := connectToKafka(t)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		// The broker packs what comes packed otherwise again, as the Java client does.
		for _, stored := range []string{"producer", "gzip", "snappy", "lz4", "zstd"} {
			topic := topicInKafka(t, conn, 1, map[string]string{"compression.type": stored})
			c := franzOn(t, conn, kgo.ProducerBatchCompression(codec))
			var records []*kgo.Record
			for i := range 2000 {
				records = append(records, &kgo.Record{
					Topic: topic, Key: fmt.Append(nil, "key ", i), Value: []byte(strings.Repeat(fmt.Sprint(i, " "), 20)),
					Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}, {Key: "none"}},
				})
			}
			produceOn(t, c, records...)
			got := scanKafka(t, conn, topic)
			if len(got) != len(records) {
				t.Errorf("%s, stored as %s: %d of %d records", name, stored, len(got), len(records))
				continue
			}
			for i, rec := range got {
				if string(rec.Key) != string(records[i].Key) || string(rec.Value) != string(records[i].Value) || len(rec.Headers) != 2 || rec.Headers[1].Value != nil {
					t.Errorf("%s, stored as %s: record %d is %+v", name, stored, i, rec)
					break
				}
			}
		}
	}
}

func TestKafkaLogAppendTime(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().Add(-time.Minute)
	produceOn(t, franzOn(t, conn), &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(1)})
	if got := scanKafka(t, conn, topic); len(got) != 1 || got[0].Time.Before(before) || got[0].Time.After(time.Now().Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
}

// TestKafkaOldFormats has a log that a Kafka before 0.11 wrote. Newer ones cannot write it,
// but keep and give out what there is.
func TestKafkaOldFormats(t *testing.T) {
	data := os.Getenv("VERDICT_TEST_NODES")
	if data == "" {
		t.Skip("needs the folder of a real Kafka: make test-kafka-1")
	}
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, map[string]string{"retention.ms": "-1"})
	var segment []byte
	var want []string
	next := int64(0)
	for version := range byte(2) {
		for _, c := range []fixture.Compression{0, fixture.Gzip, fixture.Snappy, fixture.LZ4} {
			var set []byte
			first := next
			for ; next < first+3; next++ {
				at := next
				if c != 0 && version == 1 {
					at -= first
				}
				value := fmt.Sprintf("v%d, compression %d, %d", version, c, next)
				set = append(set, fixture.Message(version, 0, at, []byte("key"), []byte(value))...)
				want = append(want, value)
			}
			if c != 0 {
				set = fixture.Message(version, uint16(c), next-1, nil, c.Pack(set))
			}
			segment = append(segment, set...)
		}
	}

	script := func(args ...string) { // it ends by itself
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "../../test/kafka/kafka.sh", append(args, "--data", data)...).CombinedOutput(); err != nil {
			t.Fatalf("kafka.sh %s: %v\n%s", args, err, out)
		}
	}
	script("stop")
	log := filepath.Join(data, "node-1", "log", topic+"-0", "00000000000000000000")
	for _, index := range []string{".index", ".timeindex"} { // of the empty log
		if err := os.Remove(log + index); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(log+".log", segment, 0o600); err != nil {
		t.Error(err)
	}
	script("start-node", "1")
	if t.Failed() {
		t.FailNow()
	}

	want = append(want, "v2")
	produceOn(t, franzOn(t, conn), &kgo.Record{Topic: topic, Value: []byte("v2")})
	var got []string
	for i, rec := range scanKafka(t, conn, topic) {
		got = append(got, string(rec.Value))
		if rec.Fault != "" || rec.Offset != int64(i) {
			t.Errorf("%+v", rec)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
