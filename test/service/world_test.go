package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// world is everything around the service, inside one synctest bubble: a Kafka,
// an API, and the clock. Services are started and stopped in it, decisions go
// in, and at the end it is checked what must hold whatever happened.
type world struct {
	t       *testing.T
	network *embedded.Network
	kafka   *embedded.Cluster
	api     *sandbox.Sandbox
	client  *broker.Connection
	tracer  trace.Tracer // of the services that are started; nil: none
	cfg     configs.Config

	running   map[*member]struct{}
	watching  []func() // stops of what looks on in the background
	mu        sync.Mutex
	calls     []sandbox.Call // in the order of their arrival
	faults    func(sandbox.Call) sandbox.Fault
	submitted map[decision.Origin]sent
	logs      bytes.Buffer
}

// sent is a decision that was put into a topic.
type sent struct {
	task  decision.Task
	state decision.State
	at    time.Time
}

// partitions is the number of partitions of each topic in a world.
const partitions = 4

// apiKey is the API key of every sandbox.
const apiKey = "sandbox"

// defaultTopics returns the topics of the default configuration, each with n
// partitions.
func defaultTopics(n int) map[string]int {
	topics := make(map[string]int)
	for _, name := range app.TopicNames(configs.Default().Kafka.Topics) {
		topics[name] = n
	}
	return topics
}

// inWorld runs a test in a bubble with a world of its own.
func inWorld(t *testing.T, api sandbox.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorldOf(t, 1, api, test)
}

// inWorldOf is inWorld with so many brokers.
func inWorldOf(t *testing.T, brokers int, api sandbox.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, network: &embedded.Network{}, submitted: make(map[decision.Origin]sent), running: make(map[*member]struct{})}
		cfg := configs.Default()
		cfg.API.Key = configs.NewSecret(apiKey)
		cfg.API.RateLimit = 0
		cfg.Admin.Addr = ""
		var err error
		if w.kafka, err = embedded.Start(embedded.Options{Brokers: brokers, Topics: defaultTopics(partitions), Listen: w.network.Listen}); err != nil {
			t.Fatal(err)
		}
		defer w.kafka.Close()
		api.Key = apiKey
		api.Observe = func(c sandbox.Call) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, c)
		}
		api.Fault = func(c sandbox.Call) sandbox.Fault {
			w.mu.Lock()
			faults := w.faults
			w.mu.Unlock()
			if faults == nil {
				return sandbox.Fault{}
			}
			return faults(c)
		}
		if w.api, err = sandbox.New(api); err != nil {
			t.Fatal(err)
		}
		listener, err := w.network.Listen("tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		defer serve(t, listener, w.api)()
		cfg.Kafka.Brokers = w.kafka.Addrs()
		cfg.API.BaseURL = "http://" + listener.Addr().String() + "/4.0"
		w.cfg = cfg
		w.client, err = broker.NewConnection(broker.Options{Brokers: w.kafka.Addrs(), DialFunc: w.network.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { w.client.Close() }()
		defer func() {
			if t.Failed() {
				t.Logf("logs:\n%s", w.logs.String())
			}
		}()
		defer func() {
			for m := range w.running { // what a test that failed left behind
				m.stopping()
				<-m.ended
			}
			for _, stop := range w.watching {
				stop()
			}
		}()
		test(t, w)
	})
}

// member is one running service.
type member struct {
	w        *world
	registry *prometheus.Registry
	stopping context.CancelFunc
	ended    chan error
	link     *link // to Kafka
}

// start starts a service with the world's configuration, changed by change.
func (w *world) start(change ...func(*configs.Config)) *member {
	w.t.Helper()
	cfg := w.cfg
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	m := &member{w: w, registry: prometheus.NewRegistry(), stopping: cancel, ended: make(chan error, 1), link: &link{network: w.network}}
	log := slog.New(slog.NewTextHandler(&lockedWriter{mu: &w.mu, to: &w.logs}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	w.running[m] = struct{}{}
	go func() {
		m.ended <- app.Run(ctx, cfg, app.Options{
			Log: log, Registry: m.registry, DialKafka: m.link.DialContext, DialAPI: w.network.DialContext,
			DialSchemas: w.network.DialContext, Tracer: w.tracer,
		})
	}()
	return m
}

type lockedWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

// stop stops a service as SIGTERM would, and waits for its end.
func (m *member) stop() {
	m.w.t.Helper()
	delete(m.w.running, m)
	m.stopping()
	if err := <-m.ended; err != nil {
		m.w.t.Errorf("the service ended with: %v", err)
	}
}

// metric is the sum of the series of one name whose labels have these values,
// given as name, value, name, value …
func (m *member) metric(name string, labels ...string) float64 {
	m.w.t.Helper()
	return seriesSum(m.w.t, m.registry, name, labels...)
}

func seriesSum(t testing.TB, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			have := make(map[string]string)
			for _, l := range series.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && have[labels[i]] == labels[i+1]
			}
			if matches {
				sum += series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// task makes a task from numbers.
func task(profile, id int) decision.Task {
	return decision.NewTask(fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", profile, profile), fmt.Sprintf("%08x-dddd-eeee-ffff-%012x", id, id))
}

// value is a decision as its sender would write it.
func value(task decision.Task, state decision.State, more ...string) string {
	members := append([]string{
		fmt.Sprintf(`"profile_id":%q`, task.ProfileID), fmt.Sprintf(`"task_id":%q`, task.TaskID), fmt.Sprintf(`"state":%q`, state),
	}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

// outgoing is a record to be sent.
type outgoing struct {
	topic, key, value string
	headers           []kafka.Header
	task              decision.Task
	state             decision.State
}

// decide makes the records of decisions in a topic.
func decide(topic string, task decision.Task, state decision.State, more ...string) outgoing {
	return outgoing{topic: topic, key: task.ProfileID, value: value(task, state, more...), task: task, state: state}
}

// passes makes n decisions in a topic, each on a task of its own.
func passes(topic string, n int) []outgoing {
	records := make([]outgoing, n)
	for i := range records {
		records[i] = decide(topic, task(i, i), decision.CompletedPass)
	}
	return records
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int
}

// send puts records into their topics, in order, and remembers where they are.
func (w *world) send(records ...outgoing) {
	w.t.Helper()
	batches := make(map[place][]outgoing)
	for _, r := range records {
		p := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(r.key)}, 0, 1, 2, 3)
		batches[place{r.topic, p}] = append(batches[place{r.topic, p}], r)
	}
	for at, batch := range batches {
		for chunk := range slices.Chunk(batch, 4000) { // a request has its bound
			w.sendTo(at, chunk...)
		}
	}
}

// sendTo puts records into one partition.
func (w *world) sendTo(at place, batch ...outgoing) {
	w.t.Helper()
	out := make([]kafka.Record, len(batch))
	for i, r := range batch {
		out[i] = kafka.Record{Key: kafka.NewBytes([]byte(r.key)), Value: kafka.NewBytes([]byte(r.value)), Headers: r.headers, Time: time.Now()}
	}
	answer, err := w.client.Client().Produce(w.t.Context(), &kafka.ProduceRequest{
		Topic: at.topic, Partition: at.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(out...),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range batch {
		w.submitted[decision.Origin{Topic: at.topic, Partition: at.partition, Offset: answer.BaseOffset + int64(i)}] = sent{r.task, r.state, time.Now()}
	}
}

// count is how many records a topic has.
func (w *world) count(topic string) int { return int(recordsIn(w.kafka, topic)) }

// recordsIn is how many records a topic has.
func recordsIn(cluster *embedded.Cluster, topic string) int64 {
	n := int64(0)
	for p := 0; ; p++ {
		end := cluster.HighWatermark(topic, p)
		if end < 0 {
			return n
		}
		n += end
	}
}

// await lets time pass until what is true, for at most d of the bubble's time. It
// looks every 10 ms at first, and less often the longer it waits.
func (w *world) await(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	for began := time.Now(); ; {
		synctest.Wait() // a record is in its topic before its sender has counted it
		if is() {
			return
		}
		waited := time.Since(began)
		if waited > d {
			w.t.Fatalf("after %v still not: %s (results %d, dead letters %d of %d)", d, what,
				w.count(w.cfg.Kafka.Topics.Results), w.count(w.cfg.Kafka.Topics.DeadLetters), len(w.submitted))
		}
		time.Sleep(min(max(10*time.Millisecond, waited/20), 100*time.Millisecond))
	}
}

// awaitAll waits until as many results and dead letters are there as decisions
// were sent.
func (w *world) awaitAll(d time.Duration) {
	w.t.Helper()
	w.await(d, "every decision is settled", func() bool {
		return w.count(w.cfg.Kafka.Topics.Results)+w.count(w.cfg.Kafka.Topics.DeadLetters) >= len(w.submitted)
	})
}

// read is every record of a topic, partition by partition.
func (w *world) read(topic string) []decision.Record {
	w.t.Helper()
	all, err := readTopic(w.t.Context(), w.kafka, w.client.Dialer(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// readTopic is every record of a topic, partition by partition.
func readTopic(ctx context.Context, cluster *embedded.Cluster, dialer *kafka.Dialer, topic string) ([]decision.Record, error) {
	var all []decision.Record
	for p := 0; cluster.HighWatermark(topic, p) >= 0; p++ {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: cluster.Addrs(), Dialer: dialer, Topic: topic, Partition: p,
			MaxWait: 100 * time.Millisecond, ReadLagInterval: -1,
		})
		for range cluster.HighWatermark(topic, p) {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				return nil, errors.Join(err, reader.Close())
			}
			rec := decision.Record{Topic: topic, Partition: p, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
			for _, h := range m.Headers {
				rec.Headers = append(rec.Headers, decision.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, rec)
		}
		if err := reader.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// results is every result that was published.
func (w *world) results() []decision.Result {
	w.t.Helper()
	var all []decision.Result
	for _, rec := range w.read(w.cfg.Kafka.Topics.Results) {
		r, err := decision.ParseResult(rec.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// deadLetters is every dead letter that was published.
func (w *world) deadLetters() []decision.DeadRecord {
	w.t.Helper()
	var all []decision.DeadRecord
	for _, rec := range w.read(w.cfg.Kafka.Topics.DeadLetters) {
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// completions is the completing calls so far, in the order of their arrival.
func (w *world) completions() []sandbox.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []sandbox.Call
	for _, c := range w.calls {
		if c.Operation == passfort.OpComplete {
			all = append(all, c)
		}
	}
	return all
}

// allCalls is every call so far, in the order of their arrival.
func (w *world) allCalls() []sandbox.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// setFaults changes how the API misbehaves.
func (w *world) setFaults(faults func(sandbox.Call) sandbox.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// partitionOf is where a task's decisions are.
func partitionOf(t decision.Task) int {
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(t.ProfileID)}, 0, 1, 2, 3)
}

// checkSettledOnce checks that every decision has exactly one outcome, and that
// nothing else has one. It gives the outcomes by origin.
func (w *world) checkSettledOnce() map[decision.Origin]string {
	w.t.Helper()
	outcomes := make(map[decision.Origin]string)
	note := func(at decision.Origin, outcome string) {
		if before, twice := outcomes[at]; twice {
			w.t.Errorf("%v is settled twice: %s and %s", at, before, outcome)
		}
		if _, ok := w.submitted[at]; !ok {
			w.t.Errorf("%v is settled (%s), and was never sent", at, outcome)
		}
		outcomes[at] = outcome
	}
	for _, r := range w.results() {
		note(r.Origin, string(r.Outcome))
	}
	for _, d := range w.deadLetters() {
		note(d.Original.Origin(), string(d.Reason))
	}
	for at := range w.submitted {
		if outcomes[at] == "" {
			w.t.Errorf("%v was never settled", at)
		}
	}
	return outcomes
}

// checkOrder checks that each task was asked for its states in the order of its
// decisions' offsets; calls beyond are repeats of the last one.
func (w *world) checkOrder(outcomes map[decision.Origin]string) {
	w.t.Helper()
	type lane struct {
		task      decision.Task
		topic     string
		partition int
	}
	wanted := make(map[lane][]decision.State)
	for _, at := range slices.SortedFunc(maps.Keys(w.submitted), func(a, b decision.Origin) int { return int(a.Offset - b.Offset) }) {
		if s := w.submitted[at]; outcomes[at] == string(decision.Completed) {
			k := lane{s.task, at.Topic, at.Partition}
			wanted[k] = append(wanted[k], s.state)
		}
	}
	made := make(map[decision.Task][]decision.State)
	for _, c := range w.completions() {
		t := decision.NewTask(c.ProfileID, c.TaskID)
		made[t] = append(made[t], decision.State(c.State))
	}
	for k, states := range wanted {
		if got := made[k.task]; !slices.Equal(got, states) {
			w.t.Errorf("task %v was asked for %v, want %v", k.task, got, states)
		}
	}
}

// checkCommitted checks that nothing is left uncommitted.
func (w *world) checkCommitted() {
	w.t.Helper()
	for _, topic := range []string{w.cfg.Kafka.Topics.Decisions, w.cfg.Kafka.Topics.Backfill} {
		for p := range partitions {
			end := w.kafka.HighWatermark(topic, p)
			offset, metadata, ok := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p)
			if !ok || offset != end || metadata != "" {
				w.t.Errorf("%s/%d: committed %d %q (%v), the end is %d", topic, p, offset, metadata, ok, end)
			}
		}
	}
}

// checkRate checks that no window of one second ever held more calls than rate
// and burst allow, whatever their operation.
func (w *world) checkRate(rate, burst int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	first := 0
	for i, c := range w.calls {
		for c.Time.Sub(w.calls[first].Time) >= time.Second {
			first++
		}
		if n := i - first + 1; n > rate+burst {
			w.t.Fatalf("%d calls in the second before %v; the limit is %d + %d", n, c.Time, rate, burst)
		}
	}
}
