package service_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// BenchmarkLiveLatency measures the time from a live decision's record to its call, on
// real connections over loopback: of 300 decisions at random moments, alone and then
// beside a backfill of 20,000 that uses the whole rate of 500 calls a second. It
// reports milliseconds, and the ratio of both p99.
func BenchmarkLiveLatency(b *testing.B) {
	var alone, under []time.Duration
	for b.Loop() {
		alone = append(alone, liveTurn(b, 0)...)
		under = append(under, liveTurn(b, 20_000)...)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(percentile(alone, 50)), "alone-p50-ms")
	b.ReportMetric(ms(percentile(alone, 99)), "alone-p99-ms")
	b.ReportMetric(ms(percentile(under, 50)), "backfill-p50-ms")
	b.ReportMetric(ms(percentile(under, 99)), "backfill-p99-ms")
	b.ReportMetric(ms(percentile(under, 99))/ms(percentile(alone, 99)), "p99-ratio")
}

// liveTurn returns the waits of live decisions beside a backlog.
func liveTurn(b *testing.B, backlog int) (waits []time.Duration) {
	b.Helper()
	const rate, live = 500, 300
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
	cluster := startKafka(b, benchPartitions)
	defer cluster.Close()
	cfg := benchConfig(cluster, "http://"+listener.Addr().String()+"/4.0", rate)
	g := newGenerator(b)
	publish(b, cluster, backlog, func(int) decision.Record { return nextRecord(b, g, cfg.Kafka.Topics.Backfill) })

	registry, stop := runService(b, cfg)
	for seriesSum(b, registry, "verdict_partitions_assigned") < 2*benchPartitions || backlog > 0 && box.Stats().Completions < rate {
		time.Sleep(10 * time.Millisecond)
	}
	r := rand.New(rand.NewPCG(6, 7))
	sentAt := make(map[string]time.Time)
	publish(b, cluster, live, func(i int) decision.Record {
		time.Sleep(5*time.Millisecond + time.Duration(r.Int64N(int64(30*time.Millisecond))))
		d := task(1_000_000+i, 1_000_000+i)
		sentAt[d.TaskID] = time.Now()
		return decision.Record{
			Topic: cfg.Kafka.Topics.Decisions, Key: []byte(d.ProfileID), Value: []byte(value(d, decision.CompletedPass)), Time: time.Now(),
		}
	})
	for seriesSum(b, registry, "verdict_decisions_total", "lane", "live") < live {
		time.Sleep(10 * time.Millisecond)
	}
	if backlog > 0 && box.Stats().Completions >= int64(backlog) {
		b.Errorf("the backlog of %d ended before the live decisions", backlog)
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	for id, sent := range sentAt {
		waits = append(waits, arrived[id].Sub(sent))
	}
	return waits
}
