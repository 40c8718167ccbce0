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

// bench is a cluster in a bubble and a connection to it.
type bench struct {
	t       *testing.T
	network *embedded.Network
	cluster *embedded.Cluster
	conn    *broker.Connection
}

// inBubble runs f with a cluster in a synctest bubble. The bubble itself checks
// that no goroutine is left: its clock stands still once f has returned, so that
// whatever waits then waits for ever.
func inBubble(t *testing.T, o embedded.Options, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, network: new(embedded.Network)}
		o.Listen = b.network.Listen
		var err error
		if b.cluster, err = embedded.Start(o); err != nil {
			t.Fatal(err)
		}
		defer b.cluster.Close()
		b.conn, err = broker.NewConnection(broker.Options{
			Brokers: b.cluster.Addrs(), ClientID: "test", DialFunc: b.network.DialContext,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.conn.Close()
		f(b)
	})
}

// publisher is a publisher on the bench, with what it told.
func (b *bench) publisher(o broker.PublisherOptions) (*broker.Publisher, *told) {
	told := &told{outcomes: make(map[string]error)}
	o.Client = b.conn.Client()
	o.OnHealthChange = told.state
	p := broker.NewPublisher(o)
	return p, told
}

// told is what a publisher called back.
type told struct {
	mu       sync.Mutex
	order    []string         // the values of records that were done
	outcomes map[string]error // by the record's value
	states   []string
}

// done is the callback for a record with this value.
func (t *told) done(value string) func(error) {
	return func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.order = append(t.order, value)
		t.outcomes[value] = err
	}
}

func (t *told) state(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.states = append(t.states, fmt.Sprintf("%v %v", err != nil, err))
}

// count is how many records were done with err, each counted as often as it
// was said.
func (t *told) count(err error) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, value := range t.order {
		if errors.Is(t.outcomes[value], err) {
			n++
		}
	}
	return n
}

// values are the values of the records that were done, in that order.
func (t *told) values() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.order)
}

// saw are the states so far.
func (t *told) saw() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.states)
}

// publish publishes records, whose values are told apart by who is told.
func (b *bench) publish(p *broker.Publisher, told *told, records ...decision.Record) {
	b.t.Helper()
	for _, rec := range records {
		if err := p.Publish(b.t.Context(), rec, told.done(string(rec.Value))); err != nil {
			b.t.Fatal(err)
		}
	}
}

// read is every value in a partition, from its beginning.
func (b *bench) read(topic string, partition int) []string {
	b.t.Helper()
	var values []string
	for _, m := range b.messages(topic, partition) {
		values = append(values, string(m.Value))
	}
	return values
}

func (b *bench) messages(topic string, partition int) []kafka.Message {
	b.t.Helper()
	return readTo(b.t, b.conn, topic, partition, b.cluster.HighWatermark(topic, partition))
}

// readTo is every message of a partition before the offset end.
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

// wantOrderPerKey wants the numbers below n in the topic, each once, and those
// of one key in one partition and in order.
func (b *bench) wantOrderPerKey(topic string, partitions, n int) {
	b.t.Helper()
	where, last, total := map[string]int{}, map[string]int{}, 0
	for partition := range partitions {
		for _, m := range b.messages(topic, partition) {
			key := string(m.Key)
			i, err := strconv.Atoi(string(m.Value))
			if err != nil {
				b.t.Fatal(err)
			}
			if before, ok := where[key]; ok && (before != partition || last[key] >= i) {
				b.t.Errorf("key %s: %d in partition %d comes after %d in %d", key, i, partition, last[key], before)
			}
			where[key], last[key] = partition, i
			total++
		}
	}
	if total != n {
		b.t.Errorf("%d records in %s, want %d", total, topic, n)
	}
}

// countProduces counts the requests that store records, from here on.
func (b *bench) countProduces() func() int {
	handle := b.cluster.Kfake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, Observe: true})
	return handle.Hits
}

// swallowProduce makes the cluster leave the next request to store records
// without an answer.
func (b *bench) swallowProduce() {
	b.cluster.Kfake().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, nil, true
	})
}

// produceTimeouts are the times that requests to store records, from here on,
// give the broker.
func (b *bench) produceTimeouts() func() []time.Duration {
	var mu sync.Mutex
	var timeouts []time.Duration
	b.cluster.Kfake().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.Kfake().KeepControl()
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
