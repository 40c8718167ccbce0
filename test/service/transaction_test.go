package service_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/decision"
)

func TestTheMarkersOfTransactionsAreNoDecisions(t *testing.T) {
	inWorld(t, calm, func(t *testing.T, w *world) {
		topic := w.cfg.Kafka.Topics.Decisions
		producer, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Addrs()...), kgo.Dialer(w.network.DialContext),
			kgo.TransactionalID("sender"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		m := w.start()
		for i := range 5 {
			if err := producer.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			it := task(i, i)
			r, err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(it.ProfileID), Value: []byte(value(it, decision.CompletedPass))}).First()
			if err != nil {
				t.Fatal(err)
			}
			w.submitted[decision.Origin{Topic: topic, Partition: 0, Offset: r.Offset}] = sent{it, decision.CompletedPass, time.Now()}
			if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		// The last offset is a marker: it is committed too, and no lag is left.
		w.await(time.Minute, "all is committed", func() bool {
			at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, 0)
			return at == w.kafka.HighWatermark(topic, 0)
		})
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		w.onePerDecision()
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}
