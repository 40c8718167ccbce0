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

// partitions is the number of partitions of each topic.
const partitions = 4

// Settings of every process. Sessions are short, so that Kafka soon notices a member
// that was killed.
const (
	workers        = 16
	commitInterval = 200 * time.Millisecond
)

// repeatBound is how many decisions one fault may make Verdict settle again: those in
// flight, those that wait for Kafka's acknowledgement (at most four times workers), and
// those settled within one commit interval.
const repeatBound = 5*workers + 60

// fastAPI answers within some tens of milliseconds.
var fastAPI = sandbox.Options{Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}

// scene is the environment of a test: topics of its own in a Kafka, an API, and a record
// of what was sent and called.
type scene struct {
	t            *testing.T
	brokers      []string
	cluster      *embedded.Cluster // nil with a real Kafka
	kafkaProxies []*proxy          // in front of the embedded brokers, if asked for
	apiProxy     *proxy            // in front of the API, if asked for
	conn         *broker.Connection
	api          *sandbox.Sandbox
	env          []string // of each process
	group        string
	topics       topics

	mu     sync.Mutex
	calls  []sandbox.Call
	faults func(sandbox.Call) sandbox.Fault
	sent   map[decision.Position]sent
}

type topics struct{ decisions, backfill, results, deadLetters string }

func (t topics) all() []string { return []string{t.decisions, t.backfill, t.results, t.deadLetters} }

type sent struct {
	task  decision.Task
	state decision.State
}

// sceneOptions configures a scene.
type sceneOptions struct {
	api      sandbox.Options
	brokers  int    // of the embedded Kafka; 0 means 1
	proxies  bool   // put proxies in front of the API and of an embedded Kafka
	keyFile  string // file with the API key; empty means a key in the environment
	noTopics bool   // do not create the topics
}

// newScene returns a scene on the real Kafka that VERDICT_TEST_BROKERS names, or on an
// embedded one.
func newScene(t *testing.T, o sceneOptions) *scene {
	t.Helper()
	s := &scene{t: t, sent: make(map[decision.Position]sent)}
	s.startKafka(o)
	unique := fmt.Sprintf("%s-%d", strings.Map(topicChar, t.Name()), time.Now().UnixNano())
	s.group = unique
	s.topics = topics{unique + ".decisions", unique + ".backfill", unique + ".results", unique + ".dlq"}
	if !o.noTopics {
		s.createTopics()
	}
	address := s.startAPI(o)
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
		"VERDICT_API_BASE_URL=http://" + address + "/4.0",
		"VERDICT_API_RATE_LIMIT=0",
		"VERDICT_PROCESSOR_WORKERS=" + fmt.Sprint(workers),
		"VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=2s",
		"VERDICT_PROCESSOR_BACKOFF_MAX=2s",
		"VERDICT_ADMIN_ADDR=127.0.0.1:0",
	}
	if o.keyFile == "" {
		s.env = append(s.env, "VERDICT_API_KEY=sandbox")
	} else {
		s.env = append(s.env, "VERDICT_API_KEY_FILE="+o.keyFile)
	}
	return s
}

// startKafka connects the scene to the real Kafka, or starts an embedded one.
func (s *scene) startKafka(o sceneOptions) {
	s.t.Helper()
	if named := os.Getenv("VERDICT_TEST_BROKERS"); named != "" {
		s.brokers = strings.Split(named, ",")
	} else {
		options := embedded.Options{Brokers: o.brokers}
		if o.proxies {
			options.Listen = func(network, address string) (net.Listener, error) {
				return listenBehindProxy(network, address, func(p *proxy) { s.kafkaProxies = append(s.kafkaProxies, p) })
			}
		}
		cluster, err := embedded.Start(options)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(cluster.Close)
		s.cluster, s.brokers = cluster, cluster.Addrs()
	}
	var err error
	s.conn, err = broker.NewConnection(broker.Options{Brokers: s.brokers, ClientID: "verdict-test", DialFunc: s.dialDirectly})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.conn.Close)
}

// dialDirectly bypasses the proxies, so that the test's own connections have no faults.
func (s *scene) dialDirectly(ctx context.Context, network, address string) (net.Conn, error) {
	for _, p := range s.kafkaProxies {
		if p.addr() == address {
			address = p.target
		}
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Addrs returns the brokers: a scene is a fixture.Cluster.
func (s *scene) Addrs() []string { return s.brokers }

func (s *scene) createTopics() {
	s.t.Helper()
	var wanted []broker.Topic
	for _, name := range s.topics.all() {
		wanted = append(wanted, broker.Topic{Name: name, Partitions: partitions})
	}
	if _, err := broker.Create(s.ctx(), s.conn.Client(), wanted); err != nil {
		s.t.Fatal(err)
	}
}

// topicChar replaces characters that topic names cannot contain.
func topicChar(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
		return r
	}
	return '-'
}

// startAPI starts the sandbox and returns its address, or that of its proxy.
func (s *scene) startAPI(o sceneOptions) (address string) {
	s.t.Helper()
	o.api.Observe = func(c sandbox.Call) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, c)
	}
	o.api.Fault = func(c sandbox.Call) sandbox.Fault {
		s.mu.Lock()
		faults := s.faults
		s.mu.Unlock()
		if faults == nil {
			return sandbox.Fault{}
		}
		return faults(c)
	}
	var err error
	if s.api, err = sandbox.New(o.api); err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewServer(s.api)
	s.t.Cleanup(server.Close)
	address = server.Listener.Addr().String()
	if o.proxies {
		if s.apiProxy, err = newProxy("127.0.0.1:0", address); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(s.apiProxy.close)
		address = s.apiProxy.addr()
	}
	return address
}

// setFaults sets the faults of the API. Nil means none.
func (s *scene) setFaults(faults func(sandbox.Call) sandbox.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// ctx returns a context that ends with the test, and after patience at the latest.
func (s *scene) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// start starts `verdict run` with changes to the scene's environment, as KEY=value.
func (s *scene) start(name string, change ...string) *process {
	s.t.Helper()
	p := launch(s.t, name, slices.Concat(s.env, change)) // the last value of a variable counts
	if status, _ := p.get("/healthz"); status == 0 {
		s.t.Fatalf("%s does not start", name)
	}
	return p
}
