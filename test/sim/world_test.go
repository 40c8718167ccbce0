package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

const (
	partitions = 4 // of each topic, at the start
	goodKey    = "sandbox"
)

// world is what the members of a run are in: Kafka, the API and the network between
// them. It keeps the history of the run.
type world struct {
	t       *testing.T
	plan    plan
	cfg     configs.Config
	network *embedded.Network
	kafka   *embedded.Cluster
	api     *sandbox.Sandbox
	client  *broker.Connection
	tasks   map[string][]passfort.Task // by profile
	kinds   map[decision.Task]kind
	parts   map[string]int  // partitions of each topic
	places  map[placeOf]int // the partition of each profile that has records

	members []*member      // that run and were not asked to stop
	joined  int            // members so far
	leaving sync.WaitGroup // those that were

	mu     sync.Mutex
	began  time.Time
	calls  []sandbox.Call
	active [faultKinds]int // faults in force, of the API and kafkaEnds
	drawn  uint64          // calls that a share of was to fail
	log    bytes.Buffer
	errs   []error // with which members ended
	sent   map[decision.Position]*send

	changed map[decision.Position]form // batches that brokers give out otherwise than they were sent; under mu
	noted   map[decision.Position]bool // ends that were noted before a partition was read; under mu
	remade  map[string]time.Time       // when senders sent again to topics that were made again
	away    map[string]bool            // topics that are deleted
	senders map[int]*kgo.Client        // by the number of their transaction

	entries    map[ledger.Key]ledger.Entry // of the ledger
	ledgerGone bool

	found  bool                      // tasks that were missing exist; under mu
	copies map[decision.Position]int // how often dead letters were sent back, of those that had to be
}

// newWorld starts Kafka and the API. The test's cleanup ends them.
func newWorld(t *testing.T, p plan) *world {
	w := &world{
		t: t, plan: p, network: &embedded.Network{}, began: time.Now(),
		tasks: make(map[string][]passfort.Task), kinds: make(map[decision.Task]kind), sent: make(map[decision.Position]*send),
		parts: make(map[string]int), places: make(map[placeOf]int),
		changed: make(map[decision.Position]form), noted: make(map[decision.Position]bool), remade: make(map[string]time.Time), away: make(map[string]bool), senders: make(map[int]*kgo.Client),
		copies: make(map[decision.Position]int), entries: make(map[ledger.Key]ledger.Entry),
	}
	for i := range p.sends {
		s := &p.sends[i]
		if _, known := w.kinds[s.task]; known || s.kind >= hostile {
			continue
		}
		w.kinds[s.task] = s.kind
		w.tasks[s.task.ProfileID] = append(w.tasks[s.task.ProfileID], passfort.Task{
			ID: s.task.TaskID, State: decision.Incomplete, Type: "CHECK",
			Variant: passfort.Variant{ID: "cccccccc" + s.task.TaskID[8:], Alias: aliasOf(s.task)},
		})
	}
	w.cfg = configs.Default()
	topics := w.parts
	for _, name := range app.TopicNames(w.cfg.Kafka.Topics) {
		topics[name] = partitions
	}
	var err error
	if w.kafka, err = embedded.Start(embedded.Options{Brokers: 3, Topics: topics, Listen: w.network.Listen}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kafka.Close)
	w.cfg.Admin.Addr, w.cfg.Kafka.Brokers = "", w.kafka.Addrs()
	w.cfg.API.BaseURL, w.cfg.API.Key = w.startAPI(), configs.NewSecret(goodKey)
	w.cfg.API.RateLimit, w.cfg.Processor.Workers = p.rate, p.workers
	w.cfg.API.Timeout = 20 * time.Second
	if p.differ {
		// Else a decision whose call was cut before the API acted conflicts with the one
		// before it on its task.
		w.cfg.Processor.OnConflict = decision.ConflictOverwrite
	}
	if w.client, err = broker.NewConnection(broker.Options{Brokers: w.kafka.Addrs(), DialFunc: w.network.DialContext}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	return w
}

func (w *world) startAPI() (baseURL string) {
	var err error
	w.api, err = sandbox.New(sandbox.Options{
		Key: goodKey, Latency: 20 * time.Millisecond, Jitter: 80 * time.Millisecond, Seed: w.plan.seed,
		Profiles: func(profile string) []passfort.Task { return w.tasks[profile] },
		Observe: func(c sandbox.Call) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, c)
		},
		Fault: w.faultOf,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := w.network.Listen("tcp", "localhost:0")
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: w.api}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	w.t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return "http://" + listener.Addr().String() + "/4.0"
}

// member is one running service.
type member struct {
	kafka, api fixture.Link
	cancel     context.CancelFunc
	ended      chan struct{}
}

func (w *world) join() {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{kafka: fixture.Link{Network: w.network, Fetched: w.fetched}, api: fixture.Link{Network: w.network}, cancel: cancel, ended: make(chan struct{})}
	w.members = append(w.members, m)
	w.joined++
	log := slog.New(slog.NewTextHandler(&lockedWriter{w}, nil)).With("member", w.joined)
	go func() {
		defer close(m.ended)
		if err := app.Run(ctx, w.cfg, app.Options{
			Log: log, Registry: prometheus.NewRegistry(),
			DialKafka: m.kafka.DialContext, DialAPI: m.api.DialContext, DialSchemas: w.network.DialContext,
		}); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.errs = append(w.errs, err)
		}
	}()
}

// leave stops a member. It does not wait for its end.
func (w *world) leave(n int) {
	m := w.members[n]
	w.members = append(w.members[:n:n], w.members[n+1:]...)
	w.leaving.Go(func() {
		m.cancel()
		<-m.ended
	})
}

// crash ends a member, which can do nothing more from that moment.
func (w *world) crash(n int) {
	w.members[n].kafka.Cut()
	w.members[n].api.Cut()
	w.leave(n)
}

// stopAll stops every member and waits for their ends.
func (w *world) stopAll() {
	for len(w.members) > 0 {
		w.leave(0)
	}
	w.leaving.Wait()
}

// count returns the number of records in a topic.
func (w *world) count(topic string) (n int) {
	for p := range partitions {
		n += int(w.kafka.HighWatermark(topic, p))
	}
	return n
}

// read returns the records of a topic, or those from an offset of each partition on.
func (w *world) read(topic string, from map[int]int64) (all []decision.Record) {
	for p := range w.parts[topic] {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: w.kafka.Addrs(), Dialer: w.client.Dialer(), Topic: topic, Partition: p,
			MaxWait: 100 * time.Millisecond, ReadLagInterval: -1,
		})
		if err := reader.SetOffset(from[p]); err != nil {
			w.t.Fatal(err)
		}
		for range w.kafka.HighWatermark(topic, p) - from[p] {
			m, err := reader.ReadMessage(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			rec := decision.Record{Topic: topic, Partition: p, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
			for _, h := range m.Headers {
				rec.Headers = append(rec.Headers, decision.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, rec)
		}
		if err := reader.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

func (w *world) since() time.Duration { return time.Since(w.began) }

// lockedWriter writes to the world's log.
type lockedWriter struct{ w *world }

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return fmt.Fprintf(&l.w.log, "%v %s", time.Since(l.w.began).Round(time.Millisecond), p)
}
