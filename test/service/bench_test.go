package service_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// BenchmarkPipeline compares the whole service, on real connections over loopback and
// without a rate limit, with a bare loop of net/http calls: as many workers, the same
// sandbox, and in turns, so that both see the same machine. The ratio is decisions a
// second to bare calls a second: what remains of the API's speed when decisions come
// from Kafka, keep the order of their tasks, and are acknowledged by Kafka.
func BenchmarkPipeline(b *testing.B) {
	const each = 50_000 // decisions in a turn
	box, err := sandbox.New(sandbox.Options{Key: apiKey})
	if err != nil {
		b.Fatal(err)
	}
	listener := listenTCP(b)
	defer serve(b, listener, box)()
	api := "http://" + listener.Addr().String() + "/4.0"
	cluster := startKafka(b, benchPartitions)
	cfg := benchConfig(cluster, api, 0)
	g := newGenerator(b)

	var verdictTook, bareTook time.Duration
	n := 0
	for b.Loop() {
		records := make([]decision.Record, each)
		for i := range records {
			records[i] = nextRecord(b, g, cfg.Kafka.Topics.Decisions)
		}
		bareTook += bareLoop(b, api, records, cfg.Processor.Workers)
		publish(b, cluster, each, func(i int) decision.Record { return records[i] })
		began := time.Now()
		_, stop := runService(b, cfg)
		for recordsIn(cluster, cfg.Kafka.Topics.Results) < int64(n+each) {
			time.Sleep(time.Millisecond)
		}
		verdictTook += time.Since(began) // with the join of the group
		stop()
		n += each
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/verdictTook.Seconds(), "decisions/s")
	b.ReportMetric(float64(n)/bareTook.Seconds(), "bare-calls/s")
	b.ReportMetric(bareTook.Seconds()/verdictTook.Seconds(), "ratio")
}

// benchPartitions is the number of partitions of each topic of a benchmark.
const benchPartitions = 6

// benchConfig returns the default configuration with 64 workers and a rate in calls
// a second, 0 for unlimited.
func benchConfig(cluster *embedded.Cluster, api string, rate float64) configs.Config {
	cfg := configs.Default()
	cfg.Kafka.Brokers = cluster.Addrs()
	cfg.API.BaseURL, cfg.API.Key, cfg.API.RateLimit = api, configs.NewSecret(apiKey), rate
	cfg.Processor.Workers = 64
	cfg.Admin.Addr = ""
	return cfg
}

// runService runs the service without a log until stop is called.
func runService(b *testing.B, cfg configs.Config) (_ *prometheus.Registry, stop func()) {
	registry := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, cfg, app.Options{Log: slog.New(slog.DiscardHandler), Registry: registry})
	}()
	return registry, func() {
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// bareLoop makes the calls of decisions with net/http alone: no order, no Kafka, and only
// the status of an answer is read. It returns how long they take.
func bareLoop(b *testing.B, api string, records []decision.Record, workers int) time.Duration {
	b.Helper()
	type request struct{ url, body string }
	requests := make([]request, len(records))
	for i := range records {
		d, err := decision.Decode(&records[i])
		if err != nil {
			b.Fatal(err)
		}
		requests[i] = request{fmt.Sprintf("%s/profiles/%s/tasks/%s", api, d.Task.ProfileID, d.Task.TaskID), fmt.Sprintf(`{"state":%q}`, d.State)}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, requests[i].url, bytes.NewReader([]byte(requests[i].body)))
				if err != nil {
					b.Error(err)
					return
				}
				r.Header.Set("apikey", apiKey)
				r.Header.Set("Content-Type", "application/json")
				answer, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					b.Errorf("status %d", answer.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
