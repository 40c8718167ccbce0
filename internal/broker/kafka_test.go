package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connectToKafka returns a connection to the real cluster that the environment
// names. Without one it skips the test.
func connectToKafka(t *testing.T) *broker.Connection {
	t.Helper()
	brokers := os.Getenv("VERDICT_TEST_BROKERS")
	if brokers == "" {
		t.Skip("needs a real Kafka: VERDICT_TEST_BROKERS=$(test/kafka/kafka.sh start) go test ./internal/broker")
	}
	conn, err := broker.NewConnection(broker.Options{Brokers: strings.Split(brokers, ","), ClientID: "verdict-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// topicInKafka creates a topic that no other run has used, and waits until its
// leaders know that they lead: a cluster answers before that.
func topicInKafka(t *testing.T, conn *broker.Connection, partitions int, configs map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
	created, err := broker.Create(withTimeout(t), conn.Client(), []broker.Topic{{Name: name, Partitions: partitions, Configs: configs}})
	if err != nil || !slices.Equal(created, []string{name}) {
		t.Fatalf("created %q, %v", created, err)
	}
	var last []kafka.OffsetRequest
	for p := range partitions {
		last = append(last, kafka.LastOffsetOf(p))
	}
	ctx := withTimeout(t)
	for {
		res, err := conn.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: last}})
		if err == nil && !slices.ContainsFunc(res.Topics[name], func(p kafka.PartitionOffsets) bool { return p.Error != nil }) {
			return name
		}
		if ctx.Err() != nil {
			t.Fatalf("topic %s has no leaders: %v, %+v", name, err, res)
		}
	}
}

func withTimeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func joinGroup(t *testing.T, conn *broker.Connection, topic string) *kafka.ConsumerGroup {
	t.Helper()
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: topic, Brokers: conn.Brokers(), Dialer: conn.Dialer(), Topics: []string{topic},
		HeartbeatInterval: 100 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { group.Close() })
	return group
}

// nextGeneration retries after errors: a new cluster answers with
// GroupCoordinatorNotAvailable until it has created its topic for offsets.
func nextGeneration(ctx context.Context, group *kafka.ConsumerGroup) (*kafka.Generation, error) {
	for {
		g, err := group.Next(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, kafka.ErrGroupClosed) {
			return g, err
		}
	}
}

// sharedGenerations returns the generations in which each member owns one
// partition.
func sharedGenerations(ctx context.Context, t *testing.T, topic string, groups ...*kafka.ConsumerGroup) map[*kafka.ConsumerGroup]*kafka.Generation {
	t.Helper()
	var mu sync.Mutex
	generations := map[*kafka.ConsumerGroup]*kafka.Generation{}
	var wg sync.WaitGroup
	for _, group := range groups {
		wg.Go(func() {
			for {
				g, err := nextGeneration(ctx, group)
				if err != nil {
					t.Error(err)
					return
				}
				if len(g.Assignments[topic]) == 1 {
					mu.Lock()
					defer mu.Unlock()
					generations[group] = g
					return
				}
				g.Start(func(ctx context.Context) { <-ctx.Done() })
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return generations
}

// publishToKafka publishes n records and waits until all are done.
func publishToKafka(t *testing.T, conn *broker.Connection, n int, rec func(i int) decision.Record) *callbacks {
	t.Helper()
	calls := &callbacks{outcomes: make(map[string]error)}
	p := broker.NewPublisher(broker.PublisherOptions{Client: conn.Client(), OnHealthChange: calls.healthChange})
	ctx := withTimeout(t)
	for i := range n {
		r := rec(i)
		if err := p.Publish(ctx, r, calls.done(string(r.Value))); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return calls
}

// readFromKafka returns every message that a partition has now.
func readFromKafka(t *testing.T, conn *broker.Connection, topic string, partition int) []kafka.Message {
	t.Helper()
	res, err := conn.Client().ListOffsets(withTimeout(t), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(partition)}},
	})
	if err != nil || res.Topics[topic][0].Error != nil {
		t.Fatalf("list offsets: %v, %+v", err, res)
	}
	return readTo(t, conn, topic, partition, res.Topics[topic][0].LastOffset)
}

func TestKafkaCreatesTopicsOnce(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 3, map[string]string{"retention.ms": "600000"})
	created, err := broker.Create(withTimeout(t), conn.Client(), []broker.Topic{{Name: topic, Partitions: 9}})
	if err != nil || len(created) != 0 {
		t.Errorf("created an existing topic: %q, %v", created, err)
	}
	counts, missing, err := broker.Partitions(withTimeout(t), conn.Client(), topic, topic+"-not")
	if err != nil || counts[topic] != 3 || !slices.Equal(missing, []string{topic + "-not"}) {
		t.Errorf("partitions %v, missing %q, %v", counts, missing, err)
	}
}

func TestKafkaAppendsToTheChosenPartition(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 3, map[string]string{"cleanup.policy": "compact"})
	two := []decision.Record{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("2")}}
	if offset, err := conn.Append(withTimeout(t), topic, 2, two); err != nil || offset != 0 {
		t.Errorf("offset %d, %v, want 0", offset, err)
	}
	if offset, err := conn.Append(withTimeout(t), topic, 2, []decision.Record{{Key: []byte("a")}}); err != nil || offset != 2 {
		t.Errorf("a tombstone: offset %d, %v, want 2", offset, err)
	}
	if cleanup, err := broker.CleanupPolicy(withTimeout(t), conn.Client(), topic); err != nil || cleanup != "compact" {
		t.Errorf("cleanup.policy %q, %v", cleanup, err)
	}
}

func TestKafkaStoresWhatWasPublished(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 3, nil)
	const n = 10000
	calls := publishToKafka(t, conn, n, func(i int) decision.Record {
		return decision.Record{
			Topic: topic, Key: fmt.Append(nil, i%100), Value: fmt.Append(nil, i), Time: time.UnixMilli(int64(1e12) + int64(i)),
			Headers: []decision.Header{{Key: "h", Value: fmt.Append(nil, i)}, {Key: "h"}},
		}
	})
	if got := calls.count(nil); got != n {
		t.Fatalf("%d of %d records done without error", got, n)
	}
	total, last := 0, map[string]time.Time{}
	for partition := range 3 {
		for _, m := range readFromKafka(t, conn, topic, partition) {
			if !m.Time.After(last[string(m.Key)]) {
				t.Errorf("key %s: %s is out of order", m.Key, m.Value)
			}
			last[string(m.Key)] = m.Time
			if len(m.Headers) != 2 || string(m.Headers[0].Value) != string(m.Value) || m.Headers[1].Value != nil {
				t.Fatalf("headers of %s: %+v", m.Value, m.Headers)
			}
			total++
		}
	}
	if total != n {
		t.Errorf("read %d records, want %d", total, n)
	}
}

func TestKafkaRefusesOnlyTheRecordThatIsTooLarge(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, map[string]string{"max.message.bytes": "20000"})
	calls := publishToKafka(t, conn, 100, func(i int) decision.Record {
		value := fmt.Sprint(i)
		if i == 42 {
			value = strings.Repeat("x", 30000)
		}
		return record(topic, "k", value)
	})
	if got := calls.count(decision.ErrTooLarge); got != 1 {
		t.Errorf("%d records too large, want 1", got)
	}
	if got := len(readFromKafka(t, conn, topic, 0)); got != 99 {
		t.Errorf("%d records stored, want 99", got)
	}
}

func TestKafkaTakesTheLargestRecord(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 1, nil)
	calls := publishToKafka(t, conn, 1, func(int) decision.Record {
		return record(topic, "k", strings.Repeat("x", 1<<20-200))
	})
	if got := calls.count(nil); got != 1 {
		t.Errorf("outcome %v", calls.outcomes)
	}
}

// Package consumer depends on these: generations, commits with metadata, and the
// fence against commits of a generation that is over.
func TestKafkaGroupSharesPartitionsAndKeepsMetadata(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 2, nil)
	ctx := withTimeout(t)

	one := joinGroup(t, conn, topic)
	alone, err := nextGeneration(ctx, one)
	if err != nil || len(alone.Assignments[topic]) != 2 {
		t.Fatalf("generation of one member: %v, %v", alone, err)
	}
	// A function that ends with the generation, like the consumer's.
	alone.Start(func(ctx context.Context) { <-ctx.Done() })

	two := joinGroup(t, conn, topic)
	generations := sharedGenerations(ctx, t, topic, one, two)

	commit := func(g *kafka.Generation, partition int, metadata string) error {
		res, err := conn.Client().OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: g.GroupID, GenerationID: int(g.ID), MemberID: g.MemberID,
			Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: 7, Metadata: metadata}}},
		})
		if err != nil {
			return err
		}
		return res.Topics[topic][0].Error
	}
	// The broker's offset.metadata.max.bytes is 4096.
	metadata := "v1:" + strings.Repeat("A", 4093)
	for _, g := range generations {
		partition := g.Assignments[topic][0].ID
		if err := commit(g, partition, metadata); err != nil {
			t.Errorf("commit partition %d: %v", partition, err)
		}
		if err := commit(g, partition, metadata+"A"); !errors.Is(err, kafka.OffsetMetadataTooLarge) {
			t.Errorf("metadata of 4097 bytes: %v, want OffsetMetadataTooLarge", err)
		}
	}
	if err := commit(alone, 0, "stale"); !errors.Is(err, kafka.IllegalGeneration) {
		t.Errorf("commit by the previous generation: %v, want IllegalGeneration", err)
	}

	res, err := conn.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: alone.GroupID, Topics: map[string][]int{topic: {0, 1}},
	})
	if err != nil || res.Error != nil {
		t.Fatalf("fetch offsets: %v, %v", err, res)
	}
	for _, p := range res.Topics[topic] {
		if p.Error != nil || p.CommittedOffset != 7 || p.Metadata != metadata {
			t.Errorf("partition %d: offset %d, %d bytes of metadata, %v", p.Partition, p.CommittedOffset, len(p.Metadata), p.Error)
		}
	}
	// A new generation sees the commit at its start.
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	rest, err := nextGeneration(ctx, two)
	if err != nil || len(rest.Assignments[topic]) != 2 || rest.Assignments[topic][0].Offset != 7 {
		t.Errorf("generation after the other member left: %+v, %v", rest, err)
	}
}

func TestKafkaScanPassesMarkersAndGaps(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 4, nil)
	const n = 20000
	cut := time.Now()
	publishToKafka(t, conn, n, func(i int) decision.Record {
		rec := record(topic, fmt.Sprint("key-", i%100), fmt.Sprint(i))
		rec.Time = cut.Add(time.Duration(i-n/2) * time.Millisecond)
		return rec
	})
	scan := func(o broker.ScanOptions) []string {
		o.Topic = topic
		var values []string
		if err := conn.Scan(withTimeout(t), o, func(rec decision.Record) error {
			values = append(values, string(rec.Value))
			return nil
		}); err != nil {
			t.Error(err)
		}
		return values
	}
	wantNumbers(t, scan(broker.ScanOptions{}), 0, n)
	if got := len(scan(broker.ScanOptions{Since: cut})); got != n/2 {
		t.Errorf("%d records since the middle, want %d", got, n/2)
	}

	// From here on the last offset of partition 0 is a marker.
	c, err := kgo.NewClient(kgo.SeedBrokers(conn.Brokers()...), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	transact(t, c, &kgo.Record{Topic: topic, Value: fmt.Append(nil, n)})
	wantNumbers(t, scan(broker.ScanOptions{}), 0, n) // the transaction is open
	if err := c.EndTransaction(withTimeout(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	// The coordinator answers before it has written the marker.
	ctx := withTimeout(t)
	for len(scan(broker.ScanOptions{})) == n && ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
	}
	var values []string
	if err := conn.Scan(withTimeout(t), broker.ScanOptions{Topic: topic, Follow: true}, func(rec decision.Record) error {
		if values = append(values, string(rec.Value)); len(values) > n {
			return broker.ErrStopScan
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, values, 0, n+1)
	wantNumbers(t, scan(broker.ScanOptions{}), 0, n+1)
	if bounds, err := conn.Bounds(withTimeout(t), topic); err != nil {
		t.Error(err)
	} else if got := scan(broker.ScanOptions{Partitions: []int{0}, Offsets: map[int]int64{0: bounds[0].End - 1}}); len(got) != 0 {
		t.Errorf("read %q from the marker on, want nothing", got)
	}
}

func TestKafkaLogEndsAndGroupOffsets(t *testing.T) {
	conn := connectToKafka(t)
	topic := topicInKafka(t, conn, 2, nil)
	publishToKafka(t, conn, 10, func(i int) decision.Record { return record(topic, "same key", "v") })
	ends, err := conn.LogEnds(withTimeout(t), topic)
	if err != nil || len(ends) != 2 || ends[0]+ends[1] != 10 {
		t.Errorf("log ends %v, %v, want 10 records", ends, err)
	}
	if got, err := conn.GroupOffsets(withTimeout(t), topic, topic); err != nil || len(got) != 0 {
		t.Errorf("offsets before a commit: %v, %v", got, err)
	}
	want := map[int]broker.GroupOffset{0: {Offset: 3, Metadata: "a b"}, 1: {Offset: 0, Metadata: "a b"}}
	if err := conn.CommitGroupOffsets(withTimeout(t), topic, topic, want); err != nil {
		t.Fatal(err)
	}
	if got, err := conn.GroupOffsets(withTimeout(t), topic, topic); err != nil || !maps.Equal(got, want) {
		t.Errorf("offsets %v, %v, want %v", got, err, want)
	}
}
