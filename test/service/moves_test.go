package service_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

// calm is an API that answers in some tens of milliseconds.
var calm = sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond}

// onePerDecision checks that each decision cost one call.
func (w *world) onePerDecision() {
	w.t.Helper()
	if calls, decisions := len(w.completions()), len(w.submitted); calls != decisions {
		w.t.Errorf("%d calls for %d decisions", calls, decisions)
	}
}

// settledAgain is how many results and dead letters there are beyond one for
// each decision; that there is one is checked.
func (w *world) settledAgain() int {
	w.t.Helper()
	seen := make(map[decision.Origin]int)
	for _, r := range w.results() {
		seen[r.Origin]++
	}
	for _, d := range w.deadLetters() {
		seen[d.Original.Origin()]++
	}
	again := 0
	for at := range w.submitted {
		if seen[at] == 0 {
			w.t.Errorf("%v was never settled", at)
		}
		again += max(seen[at]-1, 0)
	}
	return again
}

func TestPartitionsAddedWhileRunningAreReadFromTheirStart(t *testing.T) {
	t.Parallel()
	for _, start := range []configs.StartOffset{configs.StartEarliest, configs.StartLatest} {
		t.Run(string(start), func(t *testing.T) {
			t.Parallel()
			inWorld(t, calm, func(t *testing.T, w *world) {
				w.cfg.Kafka.StartOffset = start
				w.watchCommits()
				topic := w.cfg.Kafka.Topics.Decisions
				a, b := w.start(), w.start()
				w.await(time.Minute, "both work", func() bool {
					return a.metric("verdict_partitions_assigned") > 0 && b.metric("verdict_partitions_assigned") > 0
				})
				w.send(passes(topic, 1000)...)
				answer, err := w.client.Client().CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
					Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: partitions + 2}},
				})
				if err == nil {
					err = answer.Errors[topic]
				}
				if err != nil {
					t.Fatal(err)
				}
				// At once, before anyone has noticed: by a client that never knew
				// the topic to be smaller.
				w.client.Close()
				if w.client, err = broker.NewConnection(broker.Options{Brokers: w.kafka.Addrs(), DialFunc: w.network.DialContext}); err != nil {
					t.Fatal(err)
				}
				for i := range 50 {
					w.sendTo(place{topic, partitions + i%2}, decide(topic, task(5000+i, 5000+i), decision.CompletedPass))
				}
				w.awaitAll(time.Minute)
				if owned := a.metric("verdict_partitions_assigned") + b.metric("verdict_partitions_assigned"); owned != 2*partitions+2 {
					t.Errorf("%v partitions are owned", owned)
				}
				a.stop()
				b.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				w.onePerDecision()
				for p := partitions; p < partitions+2; p++ {
					if at, _, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, topic, p); at != 25 {
						t.Errorf("partition %d: committed %d, want 25", p, at)
					}
				}
			})
		})
	}
}

func TestATopicDeletedWhileRunningAndCreatedAgainIsReadAnew(t *testing.T) {
	for name, gone := range map[string]time.Duration{"for a minute": time.Minute, "at once": 0} {
		for _, start := range []configs.StartOffset{configs.StartEarliest, configs.StartLatest} {
			t.Run(fmt.Sprint(name, " ", start), func(t *testing.T) {
				inWorld(t, calm, func(t *testing.T, w *world) {
					w.cfg.Kafka.StartOffset = start
					topic := w.cfg.Kafka.Topics.Decisions
					m := w.start()
					w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
					w.send(passes(topic, 400)...)
					w.awaitAll(time.Minute)
					w.checkSettledOnce()
					w.onePerDecision()

					if err := w.kafka.DeleteTopic(topic); err != nil {
						t.Fatal(err)
					}
					time.Sleep(gone)
					if gone > 0 && m.metric("verdict_paused", "cause", "kafka") != 1 {
						t.Error("not paused, though a topic is gone")
					}
					if err := w.kafka.CreateTopic(topic, partitions, nil); err != nil {
						t.Fatal(err)
					}
					// Fewer than before, so that the old position is beyond all of them.
					before, calls := w.count(w.cfg.Kafka.Topics.Results), len(w.completions())
					var records []outgoing
					for i := range 40 {
						records = append(records, decide(topic, task(i, 9000+i), decision.CompletedPass))
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

func TestTheResultsTopicDeletedWhileRunningIsWaitedFor(t *testing.T) {
	t.Parallel()
	inWorld(t, calm, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		m := w.start()
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 1000)...)
		results := w.cfg.Kafka.Topics.Results
		w.await(time.Minute, "some are done", func() bool { return w.count(results) > 300 })
		lost := w.count(results)
		if err := w.kafka.DeleteTopic(results); err != nil {
			t.Fatal(err)
		}
		w.await(time.Minute, "paused", func() bool { return m.metric("verdict_paused", "cause", "kafka") == 1 })
		before := len(w.allCalls())
		time.Sleep(5 * time.Minute)
		if calls := len(w.allCalls()) - before; calls > w.cfg.Processor.Workers {
			t.Errorf("%d calls while no result could be published", calls)
		}
		if err := w.kafka.CreateTopic(results, partitions, nil); err != nil {
			t.Fatal(err)
		}
		w.await(5*time.Minute, "every decision is settled", func() bool { return m.metric("verdict_decisions_total") == 1000 })
		m.stop()
		w.onePerDecision()
		w.checkCommitted()
		if n := w.count(results); n < 1000-lost-200 {
			t.Errorf("%d results in the new topic; the old one had about %d", n, lost)
		}
	})
}

func TestAMemberThatIsRemovedFromTheGroupJoinsAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, calm, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		w.watchCommits()
		m := w.start()
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 2000)...)
		for round := range 3 {
			at := w.count(w.cfg.Kafka.Topics.Results)
			w.await(2*time.Minute, "it works", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > at+200 })
			groups, err := w.client.Client().DescribeGroups(t.Context(), &kafka.DescribeGroupsRequest{GroupIDs: []string{w.cfg.Kafka.GroupID}})
			if err != nil || len(groups.Groups) != 1 || len(groups.Groups[0].Members) != 1 {
				t.Fatalf("round %d: members: %+v, %v", round, groups, err)
			}
			left, err := w.client.Client().LeaveGroup(t.Context(), &kafka.LeaveGroupRequest{
				GroupID: w.cfg.Kafka.GroupID, Members: []kafka.LeaveGroupRequestMember{{ID: groups.Groups[0].Members[0].MemberID}},
			})
			if err == nil {
				err = left.Error
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.await(5*time.Minute, "every decision is settled", func() bool {
			return int(m.metric("verdict_consumer_lag")) == 0 && m.metric("verdict_partitions_assigned") > 0 && w.count(w.cfg.Kafka.Topics.Results) >= 2000
		})
		m.stop()
		w.checkCommitted()
		w.checkRate(100, 10)
		// It learns of it by a commit or a heartbeat; until then it settles what
		// nobody will know of.
		if again, most := w.settledAgain(), 3*(64+100*3); again > most {
			t.Errorf("%d decisions were settled again, want at most %d", again, most)
		}
	})
}

func TestAMemberCutOffFromKafkaLosesItsPartitionsAndComesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, calm, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		w.watchCommits()
		a, b := w.start(), w.start()
		w.await(time.Minute, "both work", func() bool {
			return a.metric("verdict_partitions_assigned") > 0 && b.metric("verdict_partitions_assigned") > 0
		})
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 6000)...)
		time.Sleep(5 * time.Second)
		a.link.cut()
		w.await(20*time.Second, "a holds its calls", func() bool { return a.metric("verdict_paused", "cause", "kafka") == 1 })
		w.await(2*time.Minute, "b has all", func() bool { return b.metric("verdict_partitions_assigned") == 2*partitions })
		time.Sleep(5 * time.Second)
		a.link.mend()
		w.await(2*time.Minute, "a is back", func() bool {
			return a.metric("verdict_partitions_assigned") > 0 && a.metric("verdict_paused", "cause", "kafka") == 0
		})
		w.await(5*time.Minute, "every decision is settled", func() bool {
			return int(a.metric("verdict_consumer_lag")+b.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 6000
		})
		a.stop()
		b.stop()
		w.checkCommitted()
		w.checkRate(100, 10)
		// What was in flight or settled and not committed when the link broke,
		// and what was called until the publisher noticed: half a second.
		if again := w.settledAgain(); again > 150 {
			t.Errorf("%d decisions were settled again", again)
		}
	})
}

func TestLeadersAndCoordinatorsMoveAndBrokersComeAndGo(t *testing.T) {
	t.Parallel()
	inWorldOf(t, 3, calm, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 150
		w.watchCommits()
		r := rand.New(rand.NewPCG(5, 6))
		var records []outgoing
		for i := range 6000 {
			records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(i%500, i%700), anyState(r)))
		}
		w.send(records...)
		a, b := w.start(), w.start()
		at := func(n int) {
			t.Helper()
			w.await(5*time.Minute, fmt.Sprint("it goes on to ", n), func() bool { return w.count(w.cfg.Kafka.Topics.Results) > n })
		}
		at(500)
		w.kafka.MoveLeaders()
		at(1000)
		w.kafka.MoveCoordinators()
		at(1500)
		w.kafka.MoveCoordinators()
		w.kafka.MoveLeaders()
		at(2000)
		for node, addr := range w.kafka.Addrs() {
			if err := w.kafka.StopBroker(node); err != nil {
				t.Fatal(err)
			}
			at(w.count(w.cfg.Kafka.Topics.Results) + 200)
			_, port := hostPort(t, addr)
			if err := w.kafka.StartBroker(node, port); err != nil {
				t.Fatal(err)
			}
			at(w.count(w.cfg.Kafka.Topics.Results) + 200)
		}
		w.awaitAll(10 * time.Minute)
		if a.metric("verdict_paused", "cause", "kafka")+b.metric("verdict_paused", "cause", "kafka") != 0 {
			t.Error("still paused")
		}
		a.stop()
		b.stop()
		// What a broker stored and did not come to acknowledge is published again,
		// which is no call.
		if again := w.settledAgain(); again > 20 {
			t.Errorf("%d decisions were settled again", again)
		}
		outcomes := make(map[decision.Origin]string)
		for at := range w.submitted {
			outcomes[at] = string(decision.Completed)
		}
		w.checkOrder(outcomes)
		w.checkCommitted()
		w.onePerDecision()
		w.checkRate(150, 10)
	})
}

func TestABrokerThatTakesLittleMetadataHoldsTheSpanBack(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 30, 200} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			inWorld(t, calm, func(t *testing.T, w *world) {
				w.kafka.LimitMetadata(size)
				w.watchCommits()
				slow := task(1, 0)
				w.setFaults(func(c sandbox.Call) sandbox.Fault {
					if c.TaskID == slow.TaskID {
						return sandbox.Fault{Delay: 20 * time.Second}
					}
					return sandbox.Fault{}
				})
				records := []outgoing{decide(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass)}
				for i := range 2500 { // of one profile: one partition
					records = append(records, decide(w.cfg.Kafka.Topics.Decisions, task(1, 1+i), decision.CompletedPass))
				}
				w.send(records...)
				m := w.start()
				w.awaitAll(10 * time.Minute)
				m.stop()
				w.checkSettledOnce()
				w.checkCommitted()
				w.onePerDecision()
			})
		})
	}
}

func TestTheLogAndTheMetricsTellEachPauseOnce(t *testing.T) {
	t.Parallel()
	for cause, c := range map[decision.PauseCause]struct {
		begin, end func(w *world)
	}{
		decision.PausedAuth: {
			func(w *world) { w.api.SetKey("another") },
			func(w *world) { w.api.SetKey(apiKey) },
		},
		decision.PausedOutage: {
			func(w *world) { w.setFaults(func(sandbox.Call) sandbox.Fault { return answer(503, "") }) },
			func(w *world) { w.setFaults(nil) },
		},
		decision.PausedThrottled: {
			func(w *world) { w.setFaults(func(sandbox.Call) sandbox.Fault { return throttle }) },
			func(w *world) { w.setFaults(nil) },
		},
		decision.PausedKafka: {
			func(w *world) { w.network.Cut(w.kafka.Addrs()...) },
			func(w *world) { w.network.Mend(w.kafka.Addrs()...) },
		},
	} {
		t.Run(string(cause), func(t *testing.T) {
			t.Parallel()
			inWorld(t, calm, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = 100
				m := w.start()
				w.send(passes(w.cfg.Kafka.Topics.Decisions, 1000)...)
				w.await(time.Minute, "it works", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 200 })
				if n := m.metric("verdict_paused"); n != 0 {
					t.Errorf("paused %v times while all is well", n)
				}
				c.begin(w)
				w.await(time.Second, "the metric tells the pause", func() bool { return m.metric("verdict_paused", "cause", string(cause)) == 1 })
				if n := m.metric("verdict_paused"); n != 1 {
					t.Errorf("%v causes are told", n)
				}
				time.Sleep(3 * time.Minute)
				if m.metric("verdict_paused", "cause", string(cause)) != 1 {
					t.Error("the pause is not told any more")
				}
				if lines := w.logLines("pause=" + string(cause)); len(lines) != 1 || cause == decision.PausedOutage && !strings.Contains(lines[0], "err=") {
					t.Errorf("the log tells the beginning in %d lines:\n%s", len(lines), lines)
				}
				c.end(w)
				w.await(5*time.Minute, "it goes on to the end and is not paused", func() bool {
					return w.count(w.cfg.Kafka.Topics.Results) >= len(w.submitted) && m.metric("verdict_consumer_lag") == 0 && m.metric("verdict_paused") == 0
				})
				if lines := w.logLines("pause=" + string(cause)); len(lines) != 2 {
					t.Errorf("the log tells beginning and end in %d lines:\n%s", len(lines), lines)
				}
				m.stop()
				if n := w.count(w.cfg.Kafka.Topics.DeadLetters); n != 0 {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

var throttle = sandbox.Fault{Do: sandbox.Answer, Status: 429, Header: http.Header{"Retry-After": {"10"}}}
