package service_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestKafkaAwayPausesAndLosesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		records := passes(w.cfg.Kafka.Topics.Decisions, 3000)
		w.send(records...)
		m := w.start()
		w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 500 })
		w.network.Cut(w.kafka.Addrs()...)
		w.await(time.Minute, "paused", func() bool { return m.paused(decision.PausedKafka) })
		time.Sleep(time.Minute)
		before := len(w.allCalls())
		time.Sleep(2 * time.Minute)
		if calls := len(w.allCalls()) - before; calls != 0 {
			t.Errorf("%d calls while nothing can be settled", calls)
		}
		w.network.Mend(w.kafka.Addrs()...)
		w.await(10*time.Minute, "every decision is settled", func() bool {
			return int(m.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 3000
		})
		if m.paused(decision.PausedKafka) {
			t.Error("still paused")
		}
		m.stop()
		w.checkCommitted()
		w.checkOneCallEach() // also of what was settled and could not be committed
		// In flight, or completed and waiting for Kafka: their results may be there.
		const most = 64 + 4*64
		if again := w.settledAgain(); again > most {
			t.Errorf("%d decisions were settled again, want at most %d", again, most)
		}
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestBrokerErrorsAreWaitedOut(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]embedded.Fault{
		"produce: not leader":       {API: embedded.Produce, Code: int(kafka.NotLeaderForPartition), Times: 20},
		"produce: not enough in":    {API: embedded.Produce, Code: int(kafka.NotEnoughReplicas), Times: 20},
		"produce: not authorized":   {API: embedded.Produce, Code: int(kafka.TopicAuthorizationFailed), Times: 10},
		"commit: coordinator moved": {API: embedded.OffsetCommit, Code: int(kafka.NotCoordinatorForGroup), Times: 5},
		"commit: loading":           {API: embedded.OffsetCommit, Code: int(kafka.GroupLoadInProgress), Times: 5},
		"commit: metadata too big":  {API: embedded.OffsetCommit, Code: int(kafka.OffsetMetadataTooLarge), Times: 2},
		"commit: fenced":            {API: embedded.OffsetCommit, Code: int(kafka.IllegalGeneration), Times: 1},
		"fetch: not leader":         {API: embedded.Fetch, Code: int(kafka.NotLeaderForPartition), Times: 10},
		"heartbeat: unknown member": {API: embedded.Heartbeat, Code: int(kafka.UnknownMemberId), Times: 1},
		"join: coordinator away":    {API: embedded.JoinGroup, Code: int(kafka.GroupCoordinatorNotAvailable), Times: 3},
		"offsets: loading":          {API: embedded.OffsetFetch, Code: int(kafka.GroupLoadInProgress), Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 200
				records := passes(w.cfg.Kafka.Topics.Decisions, 1000)
				w.send(records[:600]...)
				m := w.start()
				w.await(time.Minute, "some are done", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 300 })
				if fault.API == embedded.Produce {
					fault.Topic = w.cfg.Kafka.Topics.Results
				}
				w.kafka.Inject(fault)
				if strings.HasPrefix(name, "join") || strings.HasPrefix(name, "offsets") {
					w.kafka.Inject(embedded.Fault{API: embedded.Heartbeat, Code: int(kafka.RebalanceInProgress), Times: 1})
				}
				time.Sleep(10 * time.Second)
				w.send(records[600:]...)
				w.await(10*time.Minute, "every decision is settled", func() bool {
					return int(m.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= len(records) && m.metric("verdict_partitions_assigned") > 0
				})
				if m.paused(decision.PausedKafka) {
					t.Error("still paused")
				}
				m.stop()
				w.checkCommitted()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
				if name != "commit: fenced" && name != "heartbeat: unknown member" {
					w.checkSettledOnce()
				}
			})
		})
	}
}

func TestTooLargeRecordIsPublishedWithoutItsBody(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.cfg.Kafka.Topics.Results, w.cfg.Kafka.Topics.DeadLetters = "small-results", "small-dlq"
		for _, topic := range []string{"small-results", "small-dlq"} {
			if err := w.kafka.CreateTopic(topic, partitions, map[string]string{"max.message.bytes": "4096"}); err != nil {
				t.Fatal(err)
			}
		}
		good, bad := task(1, 1), task(1, 2)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == good.TaskID && c.Operation == passfort.OpComplete {
				return answer(200, fmt.Sprintf(`{"id":%q,"state":"COMPLETED_PASS","note":%q}`, good.TaskID, strings.Repeat("x", 10_000)))
			}
			return sandbox.Fault{}
		})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, good, decision.CompletedPass),
			decisionOn(w.cfg.Kafka.Topics.Decisions, bad, "WRONG", fmt.Sprintf(`"note":%q`, strings.Repeat("y", 10_000))))
		m := w.start()
		w.awaitAll(10 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for _, r := range w.results() {
			if r.Task != nil || r.Outcome != decision.Completed {
				t.Errorf("result %s with a task of %d bytes", r.Outcome, len(r.Task))
			}
		}
		for _, d := range w.deadLetters() {
			if !d.ValueOmitted || d.Original.Origin().Topic != w.cfg.Kafka.Topics.Decisions {
				t.Errorf("dead letter %+v", d)
			}
		}
	})
}

// TestRecordThatKafkaRefusesIsPublishedLater has topics of results and dead letters that
// take nothing, for a while.
func TestRecordThatKafkaRefusesIsPublishedLater(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		var refusing []embedded.FaultHandle
		for _, topic := range []string{w.cfg.Kafka.Topics.Results, w.cfg.Kafka.Topics.DeadLetters} {
			refusing = append(refusing, w.kafka.Inject(embedded.Fault{API: embedded.Produce, Topic: topic, Code: int(kafka.MessageSizeTooLarge)}))
		}
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 30)...)
		w.send(outgoing{topic: w.cfg.Kafka.Topics.Decisions, key: "k", value: "no decision"})
		m := w.start()
		time.Sleep(5 * time.Minute)
		if lines := w.logLines("refuses even the smallest record"); len(lines) < 4 || len(lines) > 6 {
			t.Errorf("%d lines in five minutes, want one a minute", len(lines))
		}
		for _, f := range refusing {
			f.Lift()
		}
		w.awaitAll(2 * time.Minute)
		m.stop()
		if n := len(w.completions()); n != 30 {
			t.Errorf("%d calls, want 30", n)
		}
		w.checkSettledOnce()
	})
}

// TestSmallCommitMetadataHoldsTheSpanBack lets a broker take so little metadata that
// the settled offsets beyond the committed one do not fit.
func TestSmallCommitMetadataHoldsTheSpanBack(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 30, 200} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			inWorld(t, steadyAPI, func(t *testing.T, w *world) {
				w.kafka.LimitMetadata(size)
				w.watchCommits()
				slow := task(1, 0)
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.TaskID == slow.TaskID {
						return sandbox.Fault{Delay: 20 * time.Second}
					}
					return sandbox.Fault{}
				})
				records := []outgoing{decisionOn(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass)}
				for i := range 2500 { // on one profile, so in one partition
					records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start()
				w.awaitAll(10 * time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				w.checkOneCallEach()
			})
		})
	}
}

func TestMovingLeadersAndBrokersRepeatNoCall(t *testing.T) {
	t.Parallel()
	inWorldOf(t, setting{brokers: 3, api: steadyAPI}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 150
		w.watchCommits()
		r := rand.New(rand.NewPCG(5, 6))
		var records []outgoing
		for i := range 4500 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i%500, i%700), anyState(r)))
		}
		w.send(records...)
		a, b := w.start(), w.start()
		awaitResults := func(n int) {
			t.Helper()
			w.await(5*time.Minute, fmt.Sprint(n, " results"), func() bool { return w.count(w.cfg.Kafka.Topics.Results) > n })
		}
		awaitResults(500)
		w.kafka.MoveLeaders()
		awaitResults(1000)
		w.kafka.MoveCoordinators()
		awaitResults(1500)
		w.kafka.MoveCoordinators()
		w.kafka.MoveLeaders()
		awaitResults(2000)
		for node, addr := range w.kafka.Addrs() {
			if err := w.kafka.StopBroker(node); err != nil {
				t.Fatal(err)
			}
			awaitResults(w.count(w.cfg.Kafka.Topics.Results) + 200)
			port := portOf(t, addr)
			if err := w.kafka.StartBroker(node, port); err != nil {
				t.Fatal(err)
			}
			awaitResults(w.count(w.cfg.Kafka.Topics.Results) + 200)
		}
		w.awaitAll(10 * time.Minute)
		if a.paused(decision.PausedKafka) || b.paused(decision.PausedKafka) {
			t.Error("still paused")
		}
		a.stop()
		b.stop()
		// What a broker stored but did not acknowledge is published again. That
		// needs no call.
		if again := w.settledAgain(); again > 20 {
			t.Errorf("%d decisions were settled again", again)
		}
		outcomes := make(map[decision.Position]string)
		for at := range w.submitted {
			outcomes[at] = string(decision.Completed)
		}
		w.checkOrder(outcomes)
		w.checkCommitted()
		w.checkOneCallEach()
		w.checkRate(150, 10)
	})
}

func TestTransactionMarkersAreNoDecisions(t *testing.T) {
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
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
			w.submitted[decision.Position{Topic: topic, Partition: 0, Offset: r.Offset}] = sent{it, decision.CompletedPass}
			if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
		// The last offset is a marker. It is committed as well, so that no lag is left.
		w.await(time.Minute, "every offset is committed", func() bool {
			at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, 0)
			return at == w.kafka.HighWatermark(topic, 0)
		})
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkOneCallEach()
		if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// portOf returns the port of an address.
func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
