package integration

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
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
