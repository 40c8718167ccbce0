package service_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// world is everything around the service inside one synctest bubble: Kafka, the
// API and the clock. A test starts and stops members in it, sends decisions, and
// at the end checks the invariants.
type world struct {
	t       *testing.T
	network *embedded.Network
	kafka   *embedded.Cluster
	api     *sandbox.Sandbox
	client  *broker.Connection
	tracer  trace.Tracer // of the members that are started; nil: no spans
	level   slog.Level   // of what they log; zero: info
	cfg     configs.Config

	running   map[*member]struct{}
	watchers  []func() // stop the goroutines that watch the world
	submitted map[decision.Position]sent
	runs      int     // of commands
	stopAt    float64 // of batches that are submitted

	mu     sync.Mutex
	calls  []sandbox.Call // in the order of their arrival
	faults func(sandbox.Call) sandbox.Fault
	logs   bytes.Buffer
}

// setting is how a world differs from the usual one.
type setting struct {
	brokers int       // 0: one
	date    time.Time // of the clock when the world begins; zero: the bubble's own
	api     sandbox.Options
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
	inWorldOf(t, setting{api: api}, test)
}

// inWorldOf is inWorld with a setting.
func inWorldOf(t *testing.T, set setting, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Before Kafka runs, whose timers would all fire on the way.
		time.Sleep(time.Until(set.date))
		w := &world{t: t, network: &embedded.Network{}, submitted: make(map[decision.Position]sent), running: make(map[*member]struct{})}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("logs:\n%s", w.logs.String())
			}
		})
		var err error
		if w.kafka, err = embedded.Start(embedded.Options{
			Brokers: max(set.brokers, 1), Topics: defaultTopics(partitions), Listen: w.network.Listen,
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.kafka.Close)
		w.cfg = configs.Default()
		w.cfg.Admin.Addr = ""
		w.cfg.Kafka.Brokers = w.kafka.Addrs()
		w.cfg.API.BaseURL, w.cfg.API.Key, w.cfg.API.RateLimit = w.startAPI(set.api), configs.NewSecret(apiKey), 0
		w.connect()
		t.Cleanup(func() { w.client.Close() })
		t.Cleanup(func() {
			for m := range w.running { // left by a test that failed
				m.cancel()
				<-m.ended
			}
			for _, stop := range w.watchers {
				stop()
			}
		})
		test(t, w)
	})
}

// startAPI starts the world's API and returns its base URL.
func (w *world) startAPI(o sandbox.Options) string {
	o.Key = apiKey
	o.Observe = func(c sandbox.Call) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls = append(w.calls, c)
	}
	o.Fault = func(c sandbox.Call) sandbox.Fault {
		w.mu.Lock()
		faults := w.faults
		w.mu.Unlock()
		if faults == nil {
			return sandbox.Fault{}
		}
		return faults(c)
	}
	var err error
	if w.api, err = sandbox.New(o); err != nil {
		w.t.Fatal(err)
	}
	listener, err := w.network.Listen("tcp", "localhost:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(serve(w.t, listener, w.api))
	return "http://" + listener.Addr().String() + "/4.0"
}

// connect gives the world a client that has not seen any topic yet.
func (w *world) connect() {
	w.t.Helper()
	if w.client != nil {
		w.client.Close()
	}
	var err error
	if w.client, err = broker.NewConnection(broker.Options{Brokers: w.kafka.Addrs(), DialFunc: w.network.DialContext}); err != nil {
		w.t.Fatal(err)
	}
}

// await lets at most d of the bubble's time pass until done reports true. It checks
// every 10 ms at first, and less often the longer it waits.
func (w *world) await(d time.Duration, what string, done func() bool) {
	w.t.Helper()
	for began := time.Now(); ; {
		synctest.Wait() // a record is in its topic before its sender has counted it
		if done() {
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

// awaitAll waits until there are as many results and dead letters as decisions
// that were sent.
func (w *world) awaitAll(d time.Duration) {
	w.t.Helper()
	w.await(d, "every decision is settled", func() bool {
		return w.count(w.cfg.Kafka.Topics.Results)+w.count(w.cfg.Kafka.Topics.DeadLetters) >= len(w.submitted)
	})
}

// awaitAllBusy is awaitAll beside a good decision each second, on tasks of its own: a
// decision is to blame for a failure only while others are carried out.
func (w *world) awaitAllBusy(d time.Duration) {
	w.t.Helper()
	before := len(w.submitted)
	left := func() int {
		return len(w.submitted) - w.count(w.cfg.Kafka.Topics.Results) - w.count(w.cfg.Kafka.Topics.DeadLetters)
	}
	for n, began := 0, time.Now(); ; n++ {
		synctest.Wait()
		if left() <= 0 {
			return
		}
		if time.Since(began) > d {
			w.t.Fatalf("after %v, beside %d good ones, %d of %d decisions are not settled", d, n, left(), before)
		}
		if left() < 1000 {
			w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(0x9000, 0x900000+0x10*n), decision.CompletedPass))
		}
		time.Sleep(time.Second)
	}
}

// logLines returns the lines of the log so far that contain a text.
func (w *world) logLines(text string) (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.logs.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// lockedWriter is a writer under a mutex that guards more than it.
type lockedWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}
