package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// BenchmarkPublisher publishes records of 300 bytes to an embedded cluster on
// the loopback interface, which shares the CPUs.
func BenchmarkPublisher(b *testing.B) {
	for _, partitions := range []int{1, 12} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			cluster, err := embedded.Start(embedded.Options{Topics: map[string]int{"results": partitions}})
			if err != nil {
				b.Fatal(err)
			}
			defer cluster.Close()
			conn, err := broker.NewConnection(broker.Options{Brokers: cluster.Addrs()})
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			p := broker.NewPublisher(broker.PublisherOptions{Client: conn.Client()})
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "%036d", i)
			}
			value := bytes.Repeat([]byte("x"), 300)
			var acknowledged sync.WaitGroup
			done := func(err error) {
				if err != nil {
					b.Error(err)
				}
				acknowledged.Done()
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				acknowledged.Add(1)
				rec := decision.Record{Topic: "results", Key: keys[n%len(keys)], Value: value}
				if err := p.Publish(b.Context(), rec, done); err != nil {
					b.Fatal(err)
				}
				n++
			}
			acknowledged.Wait()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			if err := p.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
