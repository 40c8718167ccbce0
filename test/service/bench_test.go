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
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// BenchmarkPipeline runs the whole service on real connections over loopback, at
// an unlimited rate, beside a bare loop of net/http calls with as many workers
// against the same sandbox, by turns in one run. ratio is service to bare loop,
// in decisions a second: what is left of the API's speed when decisions come
// from Kafka in the order of their tasks, and end there acknowledged.
func BenchmarkPipeline(b *testing.B) {
	const each = 50_000 // decisions a turn
	log := slog.New(slog.DiscardHandler)
	box, err := sandbox.New(sandbox.Options{Key: apiKey})
	if err != nil {
		b.Fatal(err)
	}
	listener := listenTCP(b)
	defer serve(b, listener, box)()
	api := "http://" + listener.Addr().String() + "/4.0"
	cluster, err := embedded.Start(embedded.Options{Topics: defaultTopics(benchPartitions)})
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	cfg := benchConfig(cluster, api, 0)
	g, err := rows.NewGenerator(rows.GeneratorOptions{Repeated: -1})
	if err != nil {
		b.Fatal(err)
	}

	var verdictTook, bareTook time.Duration
	n := 0
	for b.Loop() {
		rows := make([]rows.Row, each)
		for i := range rows {
			if rows[i], err = g.Next(); err != nil {
				b.Fatal(err)
			}
		}
		bareTook += bareLoop(b, api, rows, cfg.Processor.Workers)
		publishAll(b, cluster, cfg.Kafka.Topics.Decisions, rows)
		registry := prometheus.NewRegistry()
		running, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- app.Run(running, cfg, app.Options{Log: log, Registry: registry}) }()
		for recordsIn(cluster, cfg.Kafka.Topics.Results) < int64(n+each) {
			time.Sleep(time.Millisecond)
		}
		verdictTook += time.Since(began) // from a standing start: the join of the group included
		stop()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
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

func publishAll(b *testing.B, cluster *embedded.Cluster, topic string, rows []rows.Row) {
	b.Helper()
	connection, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for _, row := range rows {
		if err := publisher.Publish(b.Context(), row.Record(topic), func(err error) {
			if err != nil {
				b.Error(err)
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := publisher.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// bareLoop makes the same calls with nothing around them: no order, no Kafka, no
// answer looked at beyond its status.
func bareLoop(b *testing.B, api string, rows []rows.Row, workers int) time.Duration {
	b.Helper()
	type request struct{ url, body string }
	requests := make([]request, len(rows))
	for i, row := range rows {
		rec := row.Record("")
		d, err := decision.Decode(&rec)
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
