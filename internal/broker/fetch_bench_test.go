package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// BenchmarkIntake reads a partition of 200,000 decisions through Fetch and through
// kafka-go's Reader, in turns, and prints Fetch's speed as a ratio to the Reader's.
func BenchmarkIntake(b *testing.B) {
	const records = 200_000
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		b.Run(name, func(b *testing.B) {
			cluster, err := embedded.Start(embedded.Options{Topics: map[string]int{"a": 1}})
			if err != nil {
				b.Fatal(err)
			}
			defer cluster.Close()
			producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addrs()...), kgo.ProducerBatchCompression(codec))
			if err != nil {
				b.Fatal(err)
			}
			for i := range records {
				producer.Produce(b.Context(), &kgo.Record{
					Topic: "a", Key: fmt.Appendf(nil, "3ceaaf30-8142-c8ea-91d9-%012x", i),
					Value: fmt.Appendf(nil, `{"id":"spring-review/%d","profile_id":"3ceaaf30-8142-c8ea-91d9-%012x","task_id":"70ff753d-3c88-ad8a-bd70-73d26c7e40ec","state":"COMPLETED_PASS","batch_id":"spring-review"}`, i, i),
				}, nil)
			}
			if err := producer.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			producer.Close()
			conn, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			var own, reader time.Duration
			for b.Loop() {
				own += timeOf(b, func() error { return readByFetch(b.Context(), conn, records) })
				reader += timeOf(b, func() error { return readByReader(b.Context(), conn, records) })
			}
			b.ReportMetric(records*float64(b.N)/own.Seconds(), "records/s")
			b.ReportMetric(float64(reader)/float64(own), "x-Reader")
		})
	}
}

func timeOf(b *testing.B, do func() error) time.Duration {
	began := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func readByFetch(ctx context.Context, conn *broker.Connection, n int64) error {
	for next := int64(0); next < n; {
		f, err := conn.Fetch(ctx, broker.FetchRequest{Topic: "a", Offset: next})
		if err != nil {
			return err
		}
		if next, err = f.Read(func(decision.Record) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func readByReader(ctx context.Context, conn *broker.Connection, n int64) error {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: conn.Brokers(), Dialer: conn.Dialer(), Topic: "a", MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 500 * time.Millisecond,
		QueueCapacity: 64, ReadLagInterval: -1, IsolationLevel: kafka.ReadCommitted,
	})
	for {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			return err
		}
		if m.Offset == n-1 {
			return r.Close()
		}
	}
}
