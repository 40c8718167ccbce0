package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/metrics"
)

// The topic that the tests read, and the group that reads it.
const (
	topic = "decisions"
	group = "g"
)

// world is a Kafka in a synctest bubble, and what happens there in order.
type world struct {
	t       *testing.T
	network *embedded.Network
	cluster *embedded.Cluster
	conn    *broker.Connection // of the test itself

	mu     sync.Mutex
	events []string
	logs   bytes.Buffer
}

// inWorld runs a test in a bubble, with a topic of this many partitions; 0: it
// does not exist.
func inWorld(t *testing.T, partitions int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, network: new(embedded.Network)}
		o := embedded.Options{Brokers: 3, Listen: w.network.Listen}
		if partitions > 0 {
			o.Topics = map[string]int{topic: partitions}
		}
		var err error
		if w.cluster, err = embedded.Start(o); err != nil {
			t.Fatal(err)
		}
		defer w.cluster.Close()
		w.conn = w.connect()
		defer func() { w.conn.Close() }() // the last one, if a test replaces it
		defer func() {
			if t.Failed() {
				w.mu.Lock()
				defer w.mu.Unlock()
				t.Logf("events:\n%s\nlogs:\n%s", strings.Join(w.events, "\n"), w.logs.String())
			}
		}()
		test(t, w)
	})
}

func (w *world) connect() *broker.Connection {
	w.t.Helper()
	conn, err := broker.NewConnection(broker.Options{Brokers: w.cluster.Addrs(), DialFunc: w.network.DialContext})
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// note adds an event.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

// seen returns the events so far that contain one of the texts; all without texts.
func (w *world) seen(texts ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(event string) bool {
		return len(texts) > 0 && !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(event, text) })
	})
}

// forget drops the events so far.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = nil
}

// Write takes log lines.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs.Write(p)
}

// logged reports whether a log line contains all of the texts.
func (w *world) logged(texts ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.logs.String()) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return true
		}
	}
	return false
}

// noteRequests makes events of the commits and of the members that leave.
func (w *world) noteRequests() {
	k := w.cluster.Kfake()
	k.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		var offsets []string
		for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range t.Partitions {
				offsets = append(offsets, fmt.Sprintf("%d=%d", p.Partition, p.Offset))
			}
		}
		slices.Sort(offsets)
		w.note("commit %s", strings.Join(offsets, " "))
		return nil, nil, false
	})
	k.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		w.note("leave")
		return nil, nil, false
	})
}

// await waits until a condition holds, for at most d.
func (w *world) await(d time.Duration, what string, holds func() bool) {
	w.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if holds() {
			return
		}
		if time.Since(began) > d {
			w.t.Fatalf("after %v still not: %s", d, what)
		}
	}
}

// produce appends records with these values to a partition and returns the
// offset of the first.
func (w *world) produce(partition int, values ...string) int64 {
	w.t.Helper()
	records := make([]decision.Record, len(values))
	for i, value := range values {
		records[i] = decision.Record{Key: []byte("key"), Value: []byte(value)}
	}
	offset, err := w.conn.Append(w.t.Context(), topic, partition, records)
	if err != nil {
		w.t.Fatal(err)
	}
	return offset
}

// commit commits an offset for the group, which must have no members.
func (w *world) commit(partition int, offset int64, metadata string) {
	w.t.Helper()
	err := w.conn.CommitGroupOffsets(w.t.Context(), group, topic, map[int]broker.GroupOffset{partition: {Offset: offset, Metadata: metadata}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// committed returns the offset that the group committed; -1: none.
func (w *world) committed(partition int) int64 {
	offset, _, ok := w.cluster.Committed(group, topic, partition)
	if !ok {
		return -1
	}
	return offset
}

// numbers returns the values from, from+1, …, n of them.
func numbers(from, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(from + i)
	}
	return values
}

// member is one running Consumer with a Handler that records what it gets.
type member struct {
	w        *world
	name     string
	consumer *consumer.Consumer
	metrics  *metrics.Metrics
	cancel   context.CancelFunc
	ended    chan error

	// settles says which records Accept settles; nil: all.
	settles func(rec decision.Record) bool
	// accepts, if set, is what Accept returns before it takes a record.
	accepts func(rec decision.Record) error
	// assigned, if set, gets what Assigned is called with.
	assigned func(owned, total int)
	// drains, if set, is what Drain does.
	drains func(ctx context.Context, claims []*consumer.Claim)

	mu    sync.Mutex
	taken []taken
}

// taken is a record that a Handler accepted.
type taken struct {
	claim  *consumer.Claim
	rec    decision.Record
	before decision.Progress
}

// newMember prepares a member; start starts it.
func (w *world) newMember(name string) *member {
	return &member{w: w, name: name, ended: make(chan error, 1)}
}

// hold makes the member settle nothing by itself.
func (m *member) hold() *member {
	m.settles = func(decision.Record) bool { return false }
	return m
}

// options returns the options of a member with the defaults of the configuration.
func (m *member) options(conn *broker.Connection) consumer.Options {
	cfg := configs.Default()
	m.metrics = metrics.New(prometheus.NewRegistry())
	return consumer.Options{
		Brokers: conn.Brokers(), Dialer: conn.Dialer(), Client: conn.Client(), Fetch: conn.Fetch, Deleted: conn.Deleted, TopicIDs: conn.TopicIDs,
		GroupID: group, Topics: []string{topic}, ReadAhead: 1 << 20,
		CommitInterval: cfg.Kafka.CommitInterval, MaxUncommitted: cfg.Kafka.MaxUncommitted,
		SessionTimeout: cfg.Kafka.SessionTimeout, RebalanceTimeout: cfg.Kafka.RebalanceTimeout,
		DrainTimeout: cfg.Processor.ShutdownTimeout,
		Metrics:      m.metrics, Logger: slog.New(slog.NewTextHandler(m.w, nil)),
		OnHealthChange: func(part consumer.Part, err error) { m.w.note("%s health %s: %v", m.name, part, err) },
	}
}

// start runs the member until stop, or until the test's end.
func (m *member) start(change ...func(*consumer.Options)) *member {
	m.w.t.Helper()
	conn := m.w.connect()
	o := m.options(conn)
	for _, c := range change {
		c(&o)
	}
	var err error
	if m.consumer, err = consumer.New(o, m); err != nil {
		m.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(m.w.t.Context())
	m.cancel = cancel
	go func() {
		defer conn.Close()
		m.ended <- m.consumer.Run(ctx)
	}()
	return m
}

// stop stops the member and waits for its end.
func (m *member) stop() {
	m.w.t.Helper()
	m.cancel()
	if err := <-m.ended; err != nil {
		m.w.t.Errorf("Run of %s: %v", m.name, err)
	}
}

func (m *member) Assigned(owned, total int) {
	m.w.note("%s assigned %d/%d", m.name, owned, total)
	if m.assigned != nil {
		m.assigned(owned, total)
	}
}

func (m *member) Accept(ctx context.Context, claim *consumer.Claim, rec decision.Record, before decision.Progress) error {
	if m.accepts != nil {
		if err := m.accepts(rec); err != nil {
			return err
		}
	}
	m.mu.Lock() // ctx ends before Drain begins, which waits for this
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	m.w.note("%s accept %d/%d", m.name, rec.Partition, rec.Offset)
	m.taken = append(m.taken, taken{claim, rec, before})
	if m.settles == nil || m.settles(rec) {
		claim.Settle(rec.Offset)
	}
	return nil
}

func (m *member) Drain(ctx context.Context, claims []*consumer.Claim) {
	m.mu.Lock()
	m.w.note("%s drain", m.name)
	m.mu.Unlock()
	if m.drains != nil {
		m.drains(ctx, claims)
	}
	m.w.note("%s drained", m.name)
}

// all returns the records accepted so far.
func (m *member) all() []taken {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.taken)
}

// values returns the values of the records accepted so far.
func (m *member) values() []string {
	var values []string
	for _, r := range m.all() {
		values = append(values, string(r.rec.Value))
	}
	return values
}

// settleAll settles every record accepted so far.
func (m *member) settleAll() {
	for _, r := range m.all() {
		r.claim.Settle(r.rec.Offset)
	}
}

// awaitAccepted waits until the member has accepted n records.
func (m *member) awaitAccepted(n int) {
	m.w.t.Helper()
	m.w.await(time.Minute, fmt.Sprintf("%s accepts %d records", m.name, n), func() bool { return len(m.all()) >= n })
}

// awaitCommitted waits until a partition is committed up to an offset.
func (w *world) awaitCommitted(partition int, offset int64) {
	w.t.Helper()
	w.await(time.Minute, fmt.Sprintf("partition %d is committed up to %d", partition, offset), func() bool { return w.committed(partition) == offset })
}

// wantEvents compares the events that contain one of the texts.
func (w *world) wantEvents(want []string, texts ...string) {
	w.t.Helper()
	if got := w.seen(texts...); !slices.Equal(got, want) {
		w.t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
