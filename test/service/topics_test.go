package service_test

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

func (w *world) createTopic(topic string, n int, settings map[string]string) {
	w.t.Helper()
	if err := w.kafka.CreateTopic(topic, n, settings); err != nil {
		w.t.Fatal(err)
	}
}

// count returns the number of records in a topic of the world.
func (w *world) count(topic string) int { return int(recordsIn(w.kafka, topic)) }

// recordsIn returns the number of records in a topic.
func recordsIn(cluster *embedded.Cluster, topic string) int64 {
	n := int64(0)
	for p := 0; ; p++ {
		end := cluster.HighWatermark(topic, p)
		if end < 0 {
			return n
		}
		n += end
	}
}

// read returns every record of a topic, partition by partition.
func (w *world) read(topic string) []decision.Record {
	w.t.Helper()
	all, err := readTopic(w.t.Context(), w.kafka, w.client.Dialer(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// readTopic returns every record of a topic, partition by partition. It does not
// read as Verdict's commands do, whose scan is under test.
func readTopic(ctx context.Context, cluster *embedded.Cluster, dialer *kafka.Dialer, topic string) ([]decision.Record, error) {
	var all []decision.Record
	for p := 0; cluster.HighWatermark(topic, p) >= 0; p++ {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: cluster.Addrs(), Dialer: dialer, Topic: topic, Partition: p,
			MaxWait: 100 * time.Millisecond, ReadLagInterval: -1,
		})
		for range cluster.HighWatermark(topic, p) {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				return nil, errors.Join(err, reader.Close())
			}
			rec := decision.Record{Topic: topic, Partition: p, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
			for _, h := range m.Headers {
				rec.Headers = append(rec.Headers, decision.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, rec)
		}
		if err := reader.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// results returns every published result.
func (w *world) results() []decision.Result {
	w.t.Helper()
	var all []decision.Result
	for _, rec := range w.read(w.cfg.Kafka.Topics.Results) {
		r, err := decision.ParseResult(rec.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// deadLetters returns every published dead letter.
func (w *world) deadLetters() []decision.DeadRecord {
	w.t.Helper()
	var all []decision.DeadRecord
	for _, rec := range w.read(w.cfg.Kafka.Topics.DeadLetters) {
		d, err := decision.ParseDeadLetter(&rec)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// traces returns the traceparent headers of a topic's records.
func (w *world) traces(topic string) []string {
	var all []string
	for _, rec := range w.read(topic) {
		for _, h := range rec.Headers {
			if h.Key == "traceparent" {
				all = append(all, string(h.Value))
			}
		}
	}
	return all
}
