package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

func TestMissingTopicIsWaitedFor(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.Kafka.Topics.Backfill = "late-topic"
		m := w.start()
		time.Sleep(time.Minute)
		if !m.paused(decision.PausedKafka) {
			t.Error("not paused while a topic is missing")
		}
		if err := w.kafka.CreateTopic("late-topic", partitions, nil); err != nil {
			t.Fatal(err)
		}
		w.send(decisionOn("late-topic", task(1, 1), decision.CompletedPass), decisionOn(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass))
		w.awaitAll(time.Minute)
		if m.paused(decision.PausedKafka) {
			t.Error("still paused")
		}
		m.stop()
		w.checkSettledOnce()
	})
}

func TestAddedPartitionsAreReadFromTheirStart(t *testing.T) {
	t.Parallel()
	for _, start := range []configs.StartOffset{configs.StartEarliest, configs.StartLatest} {
		t.Run(string(start), func(t *testing.T) {
			t.Parallel()
			inWorld(t, steadyAPI, func(t *testing.T, w *world) {
				w.cfg.Kafka.StartOffset = start
				w.watchCommits()
				topic := w.cfg.Kafka.Topics.Decisions
				a, b := w.start(), w.start()
				w.await(time.Minute, "both own partitions", func() bool {
					return a.metric("verdict_partitions_assigned") > 0 && b.metric("verdict_partitions_assigned") > 0
				})
				w.send(passes(topic, 1000)...)
				fixture.AddPartitions(t, w.kafka, w.network, topic, partitions+2)
				// At once, before a member has noticed. A client that knew the smaller
				// topic would not find the new partitions.
				w.connect()
				for i := range 50 {
					w.sendTo(place{topic, partitions + i%2}, decisionOn(topic, task(5000+i, 5000+i), decision.CompletedPass))
				}
				w.awaitAll(time.Minute)
				if owned := a.metric("verdict_partitions_assigned") + b.metric("verdict_partitions_assigned"); owned != 2*partitions+2 {
					t.Errorf("%v partitions are owned, want %d", owned, 2*partitions+2)
				}
				a.stop()
				b.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				w.checkOneCallEach()
				for p := partitions; p < partitions+2; p++ {
					if at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p); at != 25 {
						t.Errorf("partition %d: committed %d, want 25", p, at)
					}
				}
			})
		})
	}
}

func TestRecreatedTopicIsReadFromItsStart(t *testing.T) {
	for name, gone := range map[string]time.Duration{"for a minute": time.Minute, "at once": 0} {
		for _, start := range []configs.StartOffset{configs.StartEarliest, configs.StartLatest} {
			t.Run(fmt.Sprint(name, " ", start), func(t *testing.T) {
				inWorld(t, steadyAPI, func(t *testing.T, w *world) {
					w.cfg.Kafka.StartOffset = start
					topic := w.cfg.Kafka.Topics.Decisions
					m := w.start()
					m.awaitJoined()
					w.send(passes(topic, 400)...)
					w.awaitAll(time.Minute)
					w.checkSettledOnce()
					w.checkOneCallEach()

					if err := w.kafka.DeleteTopic(topic); err != nil {
						t.Fatal(err)
					}
					time.Sleep(gone)
					if gone > 0 && !m.paused(decision.PausedKafka) {
						t.Error("not paused while the topic is deleted")
					}
					if err := w.kafka.CreateTopic(topic, partitions, nil); err != nil {
						t.Fatal(err)
					}
					// Fewer than before, so that the old position lies beyond all of them.
					before, calls := w.count(w.cfg.Kafka.Topics.Results), len(w.completions())
					var records []outgoing
					for i := range 40 {
						records = append(records, decisionOn(topic, task(i, 9000+i), decision.CompletedPass))
					}
					clear(w.submitted)
					w.await(time.Minute, "the topic has leaders", func() bool {
						meta, err := w.client.Client().Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
						return err == nil && meta.Topics[0].Error == nil
					})
					w.send(records...)
					w.await(5*time.Minute, "the new decisions are settled", func() bool {
						return w.count(w.cfg.Kafka.Topics.Results) >= before+len(records)
					})
					m.stop()
					if n := w.count(w.cfg.Kafka.Topics.Results) - before; n != len(records) {
						t.Errorf("%d results for %d decisions in the new topic", n, len(records))
					}
					if n := len(w.completions()) - calls; n != len(records) {
						t.Errorf("%d calls for %d decisions in the new topic", n, len(records))
					}
					w.checkCommitted()
				})
			})
		}
	}
}

func TestDeletedResultsTopicIsWaitedFor(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		m := w.start()
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 1000)...)
		results := w.cfg.Kafka.Topics.Results
		w.await(time.Minute, "some are done", func() bool { return w.count(results) > 300 })
		lost := w.count(results)
		if err := w.kafka.DeleteTopic(results); err != nil {
			t.Fatal(err)
		}
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedKafka) })
		before := len(w.allCalls())
		time.Sleep(5 * time.Minute)
		if calls := len(w.allCalls()) - before; calls > w.cfg.Processor.Workers {
			t.Errorf("%d calls while no result can be published", calls)
		}
		if err := w.kafka.CreateTopic(results, partitions, nil); err != nil {
			t.Fatal(err)
		}
		w.await(5*time.Minute, "every decision is settled", func() bool { return m.metric("verdict_decisions_total") == 1000 })
		m.stop()
		w.checkOneCallEach()
		w.checkCommitted()
		if n := w.count(results); n < 1000-lost-200 {
			t.Errorf("%d results in the new topic, and about %d in the old one, of 1000", n, lost)
		}
	})
}
