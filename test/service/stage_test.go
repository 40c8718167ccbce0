package service_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/metrics"
)

// stage is everything around the service, as world is, but in real time and on real
// sockets.
type stage struct {
	t      *testing.T
	began  time.Time
	kafka  *embedded.Cluster
	client *broker.Connection
	cfg    configs.Config
	calls  atomic.Int64 // counted by faults that come now and then
	tasks  atomic.Int64 // decisions sent so far

	fault   atomic.Pointer[func(sandbox.Call) sandbox.Fault]
	targets [2]*target
}

// target is an address that Prometheus scrapes. It forwards to an instance that may
// change or be away, whose own address is not known before it starts.
type target struct {
	address  string
	admin    atomic.Pointer[string]
	registry atomic.Pointer[prometheus.Registry]
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, began: time.Now(), cfg: configs.Default()}
	s.setFaults(nil)
	var err error
	s.kafka = startKafka(t, partitions)
	if s.client, err = broker.NewConnection(broker.Options{Brokers: s.kafka.Addrs()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	api, err := sandbox.New(sandbox.Options{
		Key: apiKey, Latency: 20 * time.Millisecond, Jitter: 60 * time.Millisecond,
		Fault: func(c sandbox.Call) sandbox.Fault { return (*s.fault.Load())(c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Kafka.Brokers = s.kafka.Addrs()
	s.cfg.Kafka.SessionTimeout, s.cfg.Kafka.RebalanceTimeout = 8*time.Second, 8*time.Second
	s.cfg.API.BaseURL = "http://" + s.listen(api) + "/4.0"
	s.cfg.API.Key = configs.NewSecret(apiKey)
	s.cfg.API.Timeout = 5 * time.Second
	s.cfg.API.RateLimit = 20
	s.cfg.Processor.BackoffMin, s.cfg.Processor.BackoffMax = 50*time.Millisecond, 500*time.Millisecond
	s.cfg.Processor.ShutdownTimeout = 2 * time.Second
	s.cfg.Admin.Addr = "127.0.0.1:0"
	if err := s.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	for i := range s.targets {
		target := &target{}
		target.address = s.listen(&httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				if addr := target.admin.Load(); addr != nil {
					r.SetURL(&url.URL{Scheme: "http", Host: *addr})
				}
			},
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // there may be no instance
		})
		s.targets[i] = target
	}
	return s
}

// listen serves h on a free port until the test ends.
func (s *stage) listen(h http.Handler) string {
	listener := listenTCP(s.t)
	s.t.Cleanup(serve(s.t, listener, h))
	return listener.Addr().String()
}

// setFaults sets how the API misbehaves; nil: it does not.
func (s *stage) setFaults(f func(sandbox.Call) sandbox.Fault) {
	if f == nil {
		f = func(sandbox.Call) sandbox.Fault { return sandbox.Fault{} }
	}
	s.fault.Store(&f)
}

// start starts a service behind a target until stop is called.
func (s *stage) start(at int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	target, registry := s.targets[at], prometheus.NewRegistry()
	metrics.RegisterProcess(registry, app.Build())
	target.registry.Store(registry)
	var logs lockedBuffer
	var running sync.WaitGroup
	running.Go(func() {
		err := app.Run(ctx, s.cfg, app.Options{
			Log: slog.New(slog.NewTextHandler(&logs, nil)), Registry: registry,
			Ready: func(addr string) { target.admin.Store(&addr) },
		})
		if err != nil {
			s.t.Errorf("the service ended with: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		target.admin.Store(nil)
		if s.t.Failed() {
			s.t.Logf("logs of instance %d:\n%s", at, logs.String())
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// metric returns the sum of the series of a name, of the instance behind a target.
func (s *stage) metric(at int, name string) float64 {
	return seriesSum(s.t, s.targets[at].registry.Load(), name)
}

// send sends n records, three of ten as backfill. One in broken is not a decision
// (0: none).
func (s *stage) send(n int, at time.Time, broken int) {
	batches := make(map[place][]kafka.Record)
	for i := range n {
		id := int(s.tasks.Add(1))
		topic, text := s.cfg.Kafka.Topics.Decisions, value(task(id, id), decision.CompletedPass)
		if i%10 < 3 {
			topic = s.cfg.Kafka.Topics.Backfill
		}
		if broken > 0 && i%broken == broken/2 {
			text = "no decision"
		}
		p := place{topic, id % partitions}
		batches[p] = append(batches[p], kafka.Record{Time: at, Value: kafka.NewBytes([]byte(text))})
	}
	for p, records := range batches {
		if _, err := produce(s.t.Context(), s.client, p, records...); err != nil {
			s.t.Error(err) // not Fatal: keepSending's goroutine calls it too
			return
		}
	}
}

// keepSending sends perSecond records a second until it is stopped.
func (s *stage) keepSending(perSecond int) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.send(perSecond, time.Now(), 20)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); sending.Wait() }
}

// patience bounds a wait. A loaded machine may need much of it.
const patience = 2 * time.Minute

// until waits until done reports true.
func (s *stage) until(what string, done func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.t.Fatalf("%5.1fs: after %v still not: %s", time.Since(s.began).Seconds(), patience, what)
		}
	}
}
