package service_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// BenchmarkLiveLatency is the time from a live decision's record to its call, on
// real connections over loopback: 300 of them at random moments, alone and then
// beside a backfill of 20,000 that uses the whole rate of 500 calls a second. The
// metrics are milliseconds, and how many times as long p99 is beside the rows.
func BenchmarkLiveLatency(b *testing.B) {
	var alone, under []time.Duration
	for b.Loop() {
		alone = append(alone, liveTurn(b, 0)...)
		under = append(under, liveTurn(b, 20_000)...)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(at(alone, 50)), "alone-p50-ms")
	b.ReportMetric(ms(at(alone, 99)), "alone-p99-ms")
	b.ReportMetric(ms(at(under, 50)), "backfill-p50-ms")
	b.ReportMetric(ms(at(under, 99)), "backfill-p99-ms")
	b.ReportMetric(ms(at(under, 99))/ms(at(alone, 99)), "p99-ratio")
}

// liveTurn is the waits of live decisions beside a backlog.
func liveTurn(b *testing.B, backlog int) (waits []time.Duration) {
	b.Helper()
	const rate, live, first = 500, 300, 1_000_000 // first of the live decisions' tasks
	var mu sync.Mutex
	arrived := make(map[string]time.Time)
	box, err := sandbox.New(sandbox.Options{Key: apiKey, Latency: 20 * time.Millisecond, Observe: func(c sandbox.Call) {
		if c.Operation == passfort.OpComplete {
			mu.Lock()
			defer mu.Unlock()
			arrived[c.TaskID] = c.Time
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	listener := listenTCP(b)
	defer serve(b, listener, box)()
	cluster, err := embedded.Start(embedded.Options{Topics: defaultTopics(benchPartitions)})
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	cfg := benchConfig(cluster, "http://"+listener.Addr().String()+"/4.0", rate)
	g, err := rows.NewGenerator(rows.GeneratorOptions{Repeated: -1})
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]rows.Row, backlog)
	for i := range rows {
		if rows[i], err = g.Next(); err != nil {
			b.Fatal(err)
		}
	}
	publishAll(b, cluster, cfg.Kafka.Topics.Backfill, rows)

	registry := prometheus.NewRegistry()
	serving, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(serving, cfg, app.Options{Log: slog.New(slog.DiscardHandler), Registry: registry})
	}()
	for seriesSum(b, registry, "verdict_partitions_assigned") < 2*benchPartitions || backlog > 0 && box.Stats().Completions < rate {
		time.Sleep(10 * time.Millisecond)
	}

	connection, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	r := rand.New(rand.NewPCG(6, 7))
	sentAt := make(map[string]time.Time)
	for i := range live {
		time.Sleep(5*time.Millisecond + time.Duration(r.Int64N(int64(30*time.Millisecond))))
		d := task(first+i, first+i)
		sentAt[d.TaskID] = time.Now()
		err := publisher.Publish(b.Context(), decision.Record{
			Topic: cfg.Kafka.Topics.Decisions, Key: []byte(d.ProfileID), Value: []byte(value(d, decision.CompletedPass)), Time: time.Now(),
		}, func(err error) {
			if err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := publisher.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	for seriesSum(b, registry, "verdict_decisions_total", "lane", "live") < live {
		time.Sleep(10 * time.Millisecond)
	}
	if backlog > 0 && box.Stats().Completions >= int64(backlog) {
		b.Errorf("the backlog of %d did not last", backlog)
	}
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, sent := range sentAt {
		waits = append(waits, arrived[id].Sub(sent))
	}
	return waits
}
