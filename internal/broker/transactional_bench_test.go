package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// BenchmarkTransactional writes 100,000 records in transactions of 5,000, and publishes the
// same, in turns, and prints Transactional's speed as a ratio to Publisher's. The cluster is
// the real one of VERDICT_TEST_BROKERS, or embedded.
func BenchmarkTransactional(b *testing.B) {
	const records, each = 100_000, 5000
	brokers, topic := os.Getenv("VERDICT_TEST_BROKERS"), fmt.Sprint("transactional-", time.Now().UnixNano())
	if brokers == "" {
		cluster, err := embedded.Start(embedded.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer cluster.Close()
		brokers = strings.Join(cluster.Addrs(), ",")
	}
	conn, err := broker.NewConnection(broker.Options{Brokers: strings.Split(brokers, ",")})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if _, err := broker.Create(b.Context(), conn.Client(), []broker.Topic{{Name: topic, Partitions: 12}}); err != nil {
		b.Fatal(err)
	}
	rows := make([]decision.Record, records)
	for i := range rows {
		rows[i] = decision.Record{
			Topic: topic, Partition: broker.ByKey, Key: fmt.Appendf(nil, "3ceaaf30-8142-c8ea-91d9-%012x", i), Value: bytes.Repeat([]byte("x"), 150),
		}
	}
	write := func() error {
		tx, err := conn.NewTransactional(b.Context(), topic)
		for i := 0; i < records && err == nil; i += each {
			_, err = tx.Write(b.Context(), rows[i:i+each])
		}
		return err
	}
	publish := func() error {
		p := broker.NewPublisher(broker.PublisherOptions{Client: conn.Client()})
		var acknowledged sync.WaitGroup
		for _, rec := range rows {
			acknowledged.Add(1)
			if err := p.Publish(b.Context(), rec, func(error) { acknowledged.Done() }); err != nil {
				return err
			}
		}
		acknowledged.Wait()
		return p.Close(context.Background())
	}
	if err := publish(); err != nil { // so that the topic's leaders are known
		b.Fatal(err)
	}
	var own, publisher time.Duration
	for b.Loop() {
		own += timeOf(b, write)
		publisher += timeOf(b, publish)
	}
	b.ReportMetric(records*float64(b.N)/own.Seconds(), "records/s")
	b.ReportMetric(float64(publisher)/float64(own), "x-Publisher")
}
