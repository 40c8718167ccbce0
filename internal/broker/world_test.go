package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// world is a cluster in a synctest bubble, and a connection to it.
type world struct {
	t       *testing.T
	network *embedded.Network
	cluster *embedded.Cluster
	conn    *broker.Connection
	prefix  string // of the topics that transactions write to, and of their ID
}

// inWorld runs test with a cluster in a synctest bubble. The bubble itself checks
// that no goroutine is left: its clock stops once test has returned, so a
// goroutine that still waits is a deadlock.
func inWorld(t *testing.T, o embedded.Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t, o)
		defer w.close()
		test(w)
	})
}

// startWorld makes the world inside the bubble.
func startWorld(t *testing.T, o embedded.Options) *world {
	t.Helper()
	w := &world{t: t, network: new(embedded.Network)}
	o.Listen = w.network.Listen
	var err error
	if w.cluster, err = embedded.Start(o); err != nil {
		t.Fatal(err)
	}
	w.conn, err = broker.NewConnection(broker.Options{
		Brokers: w.cluster.Addrs(), ClientID: "test", DialFunc: w.network.DialContext,
	})
	if err != nil {
		w.cluster.Close()
		t.Fatal(err)
	}
	return w
}

func (w *world) close() {
	w.conn.Close()
	w.cluster.Close()
}

// oneTopic is a cluster with the topic results.
func oneTopic(partitions int) embedded.Options {
	return embedded.Options{Topics: map[string]int{"results": partitions}}
}

// publisher returns a publisher that reports its callbacks.
func (w *world) publisher(o broker.PublisherOptions) (*broker.Publisher, *callbacks) {
	calls := &callbacks{outcomes: make(map[string]error)}
	o.Client = w.conn.Client()
	o.OnHealthChange = calls.healthChange
	return broker.NewPublisher(o), calls
}

// callbacks records the callbacks of a publisher.
type callbacks struct {
	mu       sync.Mutex
	order    []string         // the values of records that were done
	outcomes map[string]error // by the record's value
	health   []string         // "true" and the error where it began to fail, "false <nil>" where it worked again
}

// done returns the callback for a record with this value.
func (c *callbacks) done(value string) func(error) {
	return func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.order = append(c.order, value)
		c.outcomes[value] = err
	}
}

func (c *callbacks) healthChange(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health = append(c.health, fmt.Sprintf("%v %v", err != nil, err))
}

// count returns how many callbacks said err.
func (c *callbacks) count(err error) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, value := range c.order {
		if errors.Is(c.outcomes[value], err) {
			n++
		}
	}
	return n
}

// values returns the values of the records that were done, in that order.
func (c *callbacks) values() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.order)
}

func (c *callbacks) healthChanges() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.health)
}

// publish publishes records, whose values tell their callbacks apart.
func (w *world) publish(p *broker.Publisher, calls *callbacks, records ...decision.Record) {
	w.t.Helper()
	for _, rec := range records {
		if err := p.Publish(w.t.Context(), rec, calls.done(string(rec.Value))); err != nil {
			w.t.Fatal(err)
		}
	}
}

// read returns every value in a partition, from its beginning.
func (w *world) read(topic string, partition int) []string {
	w.t.Helper()
	var values []string
	for _, m := range w.messages(topic, partition) {
		values = append(values, string(m.Value))
	}
	return values
}

func (w *world) messages(topic string, partition int) []kafka.Message {
	w.t.Helper()
	return readTo(w.t, w.conn, topic, partition, w.cluster.HighWatermark(topic, partition))
}

// readTo returns every message of a partition before the offset end.
func readTo(t *testing.T, conn *broker.Connection, topic string, partition int, end int64) []kafka.Message {
	t.Helper()
	if end == 0 {
		return nil
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: conn.Brokers(), Topic: topic, Partition: partition, Dialer: conn.Dialer(),
		MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 10 * time.Millisecond,
	})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var messages []kafka.Message
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("read %s/%d after %d messages: %v", topic, partition, len(messages), err)
		}
		messages = append(messages, m)
		if m.Offset == end-1 {
			return messages
		}
	}
}

func record(topic, key, value string) decision.Record {
	return decision.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
}

func mustClose(t *testing.T, p *broker.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

func wantErrorIs(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

// wantOrderPerKey checks that the topic has the numbers below n, each once, and
// those of one key in one partition and in order.
func (w *world) wantOrderPerKey(topic string, partitions, n int) {
	w.t.Helper()
	where, last, total := map[string]int{}, map[string]int{}, 0
	for partition := range partitions {
		for _, m := range w.messages(topic, partition) {
			key := string(m.Key)
			i, err := strconv.Atoi(string(m.Value))
			if err != nil {
				w.t.Fatal(err)
			}
			if before, ok := where[key]; ok && (before != partition || last[key] >= i) {
				w.t.Errorf("key %s: %d in partition %d comes after %d in %d", key, i, partition, last[key], before)
			}
			where[key], last[key] = partition, i
			total++
		}
	}
	if total != n {
		w.t.Errorf("%d records in %s, want %d", total, topic, n)
	}
}

// countProduces counts the produce requests from now on.
func (w *world) countProduces() func() int {
	handle := w.cluster.Kfake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, Observe: true})
	return handle.Hits
}

// swallowProduce makes the cluster leave the next produce request without an
// answer.
func (w *world) swallowProduce() {
	w.cluster.Kfake().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, nil, true
	})
}

// produceTimeouts returns the time-outs that produce requests from now on give the
// broker.
func (w *world) produceTimeouts() func() []time.Duration {
	var mu sync.Mutex
	var timeouts []time.Duration
	w.cluster.Kfake().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.Kfake().KeepControl()
		mu.Lock()
		defer mu.Unlock()
		ms := req.(*kmsg.ProduceRequest).TimeoutMillis
		timeouts = append(timeouts, time.Duration(ms)*time.Millisecond)
		return nil, nil, false
	})
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(timeouts)
	}
}
