package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// partitions of each topic of a scene.
const partitions = 4

// Limits of the processes of a scene. The sessions are short so that a member
// that was killed is missed soon.
const (
	workers        = 16
	commitInterval = 200 * time.Millisecond
)

// scene is what a test plays in: topics of its own in a Kafka, an API, and what
// was sent and called.
type scene struct {
	t       *testing.T
	brokers []string
	cluster *embedded.Cluster // nil: a real Kafka
	kafka   []*proxy          // before the embedded brokers, where asked for
	gate    *proxy            // before the API, where asked for
	conn    *broker.Connection
	api     *sandbox.Sandbox
	env     []string
	group   string
	topics  topics

	mu     sync.Mutex
	calls  []sandbox.Call
	faults func(sandbox.Call) sandbox.Fault
	sent   map[decision.Origin]sent
}

type topics struct{ decisions, backfill, results, deadLetters string }

func (t topics) all() []string { return []string{t.decisions, t.backfill, t.results, t.deadLetters} }

type sent struct {
	task  decision.Task
	state decision.State
}

// setting is what a scene is to be like.
type setting struct {
	api     sandbox.Options
	brokers int    // of the embedded Kafka; 0: 1
	proxies bool   // before the API and, where it is the embedded one, Kafka
	key     string // of the API, in a file: its name; "": in the environment

	untouched bool // the topics are not created
}

// newScene sets a scene up. The Kafka is the real one that VERDICT_TEST_BROKERS
// names, or the embedded one.
func newScene(t *testing.T, set setting) *scene {
	t.Helper()
	s := &scene{t: t, sent: make(map[decision.Origin]sent)}
	if named := os.Getenv("VERDICT_TEST_BROKERS"); named != "" {
		s.brokers = strings.Split(named, ",")
	} else {
		o := embedded.Options{Brokers: set.brokers}
		if set.proxies {
			o.Listen = func(network, address string) (net.Listener, error) {
				return listenBehindProxy(network, address, func(p *proxy) { s.kafka = append(s.kafka, p) })
			}
		}
		cluster, err := embedded.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		s.cluster, s.brokers = cluster, cluster.Addrs()
	}
	var err error
	s.conn, err = broker.NewConnection(broker.Options{Brokers: s.brokers, ClientID: "verdict-test", DialFunc: s.pastProxies})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.conn.Close)

	unique := fmt.Sprintf("%s-%d", strings.Map(wordly, t.Name()), time.Now().UnixNano())
	s.group = unique
	s.topics = topics{unique + ".decisions", unique + ".backfill", unique + ".results", unique + ".dlq"}
	var wanted []broker.Topic
	for _, name := range s.topics.all() {
		wanted = append(wanted, broker.Topic{Name: name, Partitions: partitions})
	}
	if !set.untouched {
		if _, err := broker.Create(s.ctx(), s.conn.Client(), wanted); err != nil {
			t.Fatal(err)
		}
	}

	set.api.Observe = func(c sandbox.Call) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, c)
	}
	set.api.Fault = func(c sandbox.Call) sandbox.Fault {
		s.mu.Lock()
		faults := s.faults
		s.mu.Unlock()
		if faults == nil {
			return sandbox.Fault{}
		}
		return faults(c)
	}
	if s.api, err = sandbox.New(set.api); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	api := server.Listener.Addr().String()
	if set.proxies {
		if s.gate, err = newProxy("127.0.0.1:0", api); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.gate.close)
		api = s.gate.addr()
	}
	s.env = []string{
		"VERDICT_KAFKA_BROKERS=" + strings.Join(s.brokers, ","),
		"VERDICT_KAFKA_GROUP_ID=" + s.group,
		"VERDICT_KAFKA_TOPICS_DECISIONS=" + s.topics.decisions,
		"VERDICT_KAFKA_TOPICS_BACKFILL=" + s.topics.backfill,
		"VERDICT_KAFKA_TOPICS_RESULTS=" + s.topics.results,
		"VERDICT_KAFKA_TOPICS_DEAD_LETTERS=" + s.topics.deadLetters,
		"VERDICT_KAFKA_SESSION_TIMEOUT=6s",
		"VERDICT_KAFKA_REBALANCE_TIMEOUT=6s",
		"VERDICT_KAFKA_COMMIT_INTERVAL=" + commitInterval.String(),
		"VERDICT_API_BASE_URL=http://" + api + "/4.0",
		"VERDICT_API_RATE_LIMIT=0",
		"VERDICT_PROCESSOR_WORKERS=" + fmt.Sprint(workers),
		"VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=2s",
		"VERDICT_PROCESSOR_BACKOFF_MAX=2s",
		"VERDICT_ADMIN_ADDR=127.0.0.1:0",
	}
	if set.key == "" {
		s.env = append(s.env, "VERDICT_API_KEY=sandbox")
	} else {
		s.env = append(s.env, "VERDICT_API_KEY_FILE="+set.key)
	}
	return s
}

// pastProxies lets the test itself have none of the faults that it makes.
func (s *scene) pastProxies(ctx context.Context, network, address string) (net.Conn, error) {
	for _, p := range s.kafka {
		if p.addr() == address {
			address = p.target
		}
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// wordly keeps a topic's name to the characters that Kafka takes.
func wordly(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
		return r
	}
	return '-'
}

func (s *scene) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// start starts a Verdict with changes to the scene's environment, as KEY=value.
func (s *scene) start(name string, change ...string) *process {
	s.t.Helper()
	p := launch(s.t, name, slices.Concat(s.env, change)) // of two values for one key the later counts
	if status, _ := p.get("/healthz"); status == 0 {
		s.t.Fatalf("%s does not start", name)
	}
	return p
}

// setFaults changes how the API misbehaves.
func (s *scene) setFaults(faults func(sandbox.Call) sandbox.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// task makes a task from numbers.
func task(profile, id int) decision.Task {
	return decision.NewTask(fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", profile, profile), fmt.Sprintf("%08x-dddd-eeee-ffff-%012x", id, id))
}

// outgoing is a decision to be sent.
type outgoing struct {
	topic string
	task  decision.Task
	state decision.State
	value string // instead of a good one
}

func (s *scene) passes(topic string, from, n int) []outgoing {
	out := make([]outgoing, n)
	for i := range out {
		out[i] = outgoing{topic: topic, task: task(from+i, from+i), state: decision.CompletedPass}
	}
	return out
}

// send puts decisions into their topics, in order, each in its profile's
// partition, and remembers where they are.
func (s *scene) send(all ...outgoing) {
	s.t.Helper()
	type place struct {
		topic     string
		partition int
	}
	batches := make(map[place][]outgoing)
	for _, o := range all {
		p := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(o.task.ProfileID)}, 0, 1, 2, 3)
		batches[place{o.topic, p}] = append(batches[place{o.topic, p}], o)
	}
	for at, batch := range batches {
		base := s.produce(at.topic, at.partition, batch)
		for i, o := range batch {
			s.sent[decision.Origin{Topic: at.topic, Partition: at.partition, Offset: base + int64(i)}] = sent{o.task, o.state}
		}
	}
}

// produce waits out what a new topic's first moments answer. It is not tried
// again where it may have been stored.
func (s *scene) produce(topic string, partition int, batch []outgoing) int64 {
	s.t.Helper()
	var base int64
	await(s.t, "decisions are produced to "+topic, func() bool {
		records := make([]kafka.Record, len(batch)) // anew each time: a request reads them up
		for i, o := range batch {
			value := o.value
			if value == "" {
				value = fmt.Sprintf(`{"profile_id":%q,"task_id":%q,"state":%q}`, o.task.ProfileID, o.task.TaskID, o.state)
			}
			records[i] = kafka.Record{Key: kafka.NewBytes([]byte(o.task.ProfileID)), Value: kafka.NewBytes([]byte(value)), Time: time.Now()}
		}
		answer, err := s.conn.Client().Produce(s.ctx(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = answer.Error
		}
		switch {
		case err == nil:
			base = answer.BaseOffset
			return true
		case errors.Is(err, kafka.NotLeaderForPartition), errors.Is(err, kafka.LeaderNotAvailable), errors.Is(err, kafka.UnknownTopicOrPartition):
			return false
		}
		s.t.Fatalf("produce to %s/%d: %v", topic, partition, err)
		return false
	})
	return base
}

// ends are the partitions' ends of a topic; nil if Kafka does not say.
func (s *scene) ends(topic string) []int64 {
	s.t.Helper()
	var asked []kafka.OffsetRequest
	for p := range partitions {
		asked = append(asked, kafka.LastOffsetOf(p))
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	answer, err := s.conn.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return nil
	}
	ends := make([]int64, partitions)
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends
}

// count is how many records a topic has; -1 if Kafka does not say.
func (s *scene) count(topic string) int {
	s.t.Helper()
	ends := s.ends(topic)
	if ends == nil {
		return -1
	}
	n := 0
	for _, end := range ends {
		n += int(end)
	}
	return n
}

// settled is how many results and dead letters there are.
func (s *scene) settled() int { return s.count(s.topics.results) + s.count(s.topics.deadLetters) }

// awaitAll waits until everything that was sent is committed: every result and
// dead letter is there then. It waits for as long as more is settled: what faults
// have held up for long takes its time at the rate limit.
func (s *scene) awaitAll() {
	s.t.Helper()
	var open []string
	defer func() {
		if len(open) > 0 {
			s.t.Logf("not committed: %s", open)
		}
	}()
	for settled := -1; ; {
		now := s.settled()
		if now == settled {
			s.t.Fatalf("in %v none of what is open was settled or committed", patience)
		}
		settled = now
		if within(s.t, patience, func() bool {
			open = s.uncommitted()
			return len(open) == 0
		}) {
			return
		}
	}
}

// uncommitted says which partitions have decisions that are not committed.
func (s *scene) uncommitted() (open []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	all := []int{0, 1, 2, 3}
	answer, err := s.conn.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: s.group, Topics: map[string][]int{s.topics.decisions: all, s.topics.backfill: all},
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return []string{err.Error()}
	}
	for topic, committed := range answer.Topics {
		ends := s.ends(topic)
		for _, p := range committed {
			if p.Error != nil || ends == nil || max(p.CommittedOffset, 0) != ends[p.Partition] {
				open = append(open, fmt.Sprintf("%s/%d: committed %d, %v, the ends are %v", topic, p.Partition, p.CommittedOffset, p.Error, ends))
			}
		}
	}
	return open
}

// metadata is what the commits of a topic carry.
func (s *scene) metadata(topic string) (all string) {
	s.t.Helper()
	answer, err := s.conn.Client().OffsetFetch(s.ctx(), &kafka.OffsetFetchRequest{GroupID: s.group, Topics: map[string][]int{topic: {0, 1, 2, 3}}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range answer.Topics[topic] {
		all += p.Metadata
	}
	return all
}

// read is every record of a topic, partition by partition.
func (s *scene) read(topic string) []decision.Record {
	s.t.Helper()
	var all []decision.Record
	ends := s.ends(topic)
	if ends == nil {
		s.t.Fatalf("Kafka does not say where %s ends", topic)
	}
	for p, end := range ends {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: s.brokers, Dialer: s.conn.Dialer(), Topic: topic, Partition: p,
			MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond, ReadLagInterval: -1,
		})
		for range end {
			m, err := reader.ReadMessage(s.ctx())
			if err != nil {
				s.t.Fatal(err)
			}
			rec := decision.Record{Topic: topic, Partition: p, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
			for _, h := range m.Headers {
				rec.Headers = append(rec.Headers, decision.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, rec)
		}
		reader.Close()
	}
	return all
}

// outcome is what was published for a decision.
type outcome struct {
	name string // of the result's outcome, or of the dead letter's reason
	at   decision.Origin
}

// outcomes are what was published for each decision, in the order of the topics'
// partitions, results first. It checks that every decision has one, and that
// nothing else has.
func (s *scene) outcomes() map[decision.Origin][]string {
	s.t.Helper()
	found := make(map[decision.Origin][]string)
	for _, o := range s.published() {
		found[o.at] = append(found[o.at], o.name)
	}
	for at := range s.sent {
		if len(found[at]) == 0 {
			s.t.Errorf("%v was never settled", at)
		}
	}
	for at := range found {
		if _, ok := s.sent[at]; !ok {
			s.t.Errorf("%v is settled (%s), and was never sent", at, found[at])
		}
	}
	return found
}

func (s *scene) published() (all []outcome) {
	s.t.Helper()
	for _, rec := range s.read(s.topics.results) {
		r, err := decision.ParseResult(rec.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, outcome{string(r.Outcome), r.Origin})
	}
	for _, rec := range s.read(s.topics.deadLetters) {
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, outcome{string(d.Reason), d.Original.Origin()})
	}
	return all
}

// again is how many results and dead letters there are beyond one for each
// decision.
func (s *scene) again() int {
	s.t.Helper()
	n := 0
	for _, names := range s.outcomes() {
		n += len(names) - 1
	}
	return n
}

// settledOnce checks that every decision has one outcome and cost one call, or
// none where it needs none.
func (s *scene) settledOnce() {
	s.t.Helper()
	for at, names := range s.outcomes() {
		if len(names) > 1 {
			s.t.Errorf("%v is settled %d times: %s", at, len(names), names)
		}
	}
}

// completions are the completing calls so far, in order.
func (s *scene) completions() (all []sandbox.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.Operation == passfort.OpComplete {
			all = append(all, c)
		}
	}
	return all
}

// calledOnce checks that no task of one decision was completed twice.
func (s *scene) calledOnce() {
	s.t.Helper()
	decisions, calls := make(map[decision.Task]int), make(map[decision.Task]int)
	for _, d := range s.sent {
		decisions[d.task]++
	}
	for _, c := range s.completions() {
		calls[decision.NewTask(c.ProfileID, c.TaskID)]++
	}
	for task, n := range calls {
		if n > decisions[task] {
			s.t.Errorf("task %v was called %d times for %d decisions", task, n, decisions[task])
		}
	}
}

// callsSince counts the completing calls that arrived at or after a time.
func (s *scene) callsSince(t time.Time) (n int) {
	for _, c := range s.completions() {
		if !c.Time.Before(t) {
			n++
		}
	}
	return n
}
