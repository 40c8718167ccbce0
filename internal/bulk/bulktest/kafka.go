// Package bulktest provides an embedded Kafka cluster and records for tests of the bulk
// packages. Only tests import it.
package bulktest

import (
	"context"
	"testing"
	"testing/synctest"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// The topics of the cluster.
const (
	LiveTopic     = "live"
	BackfillTopic = "backfill"
	ResultsTopic  = "results"
	LettersTopic  = "letters"
)

// Kafka is a cluster in a synctest bubble, with a publisher that stands in for submits and
// for the service.
type Kafka struct {
	*testing.T
	Network   *embedded.Network
	Cluster   *embedded.Cluster
	Conn      *broker.Connection
	Publisher *broker.Publisher
}

// InKafka runs a test in a synctest bubble with a cluster.
func InKafka(t *testing.T, test func(b *Kafka)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &Kafka{T: t, Network: new(embedded.Network)}
		var err error
		if b.Cluster, err = embedded.Start(embedded.Options{
			Listen: b.Network.Listen,
			Topics: map[string]int{LiveTopic: 2, BackfillTopic: 3, ResultsTopic: 2, LettersTopic: 2, "elsewhere": 1},
		}); err != nil {
			t.Fatal(err)
		}
		defer b.Cluster.Close()
		if b.Conn, err = broker.NewConnection(broker.Options{Brokers: b.Cluster.Addrs(), DialFunc: b.Network.DialContext}); err != nil {
			t.Fatal(err)
		}
		defer b.Conn.Close()
		b.Publisher = broker.NewPublisher(broker.PublisherOptions{Client: b.Conn.Client()})
		defer func() { _ = b.Publisher.Close(context.Background()) }()
		test(b)
	})
}

// Put publishes records and waits until they are acknowledged.
func (b *Kafka) Put(records ...decision.Record) {
	b.Helper()
	done := make(chan error, len(records))
	for _, rec := range records {
		if err := b.Publisher.Publish(b.Context(), rec, func(err error) { done <- err }); err != nil {
			b.Fatal(err)
		}
	}
	for range records {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// All returns every record of a topic.
func (b *Kafka) All(topic string) []decision.Record {
	b.Helper()
	var all []decision.Record
	if err := b.Conn.Scan(b.Context(), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
		all = append(all, rec)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return all
}
