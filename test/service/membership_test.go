package service_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestMembersComingAndGoingRepeatNoCall(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 60 * time.Millisecond, Jitter: 100 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 80
		var records []outgoing
		for i := range 5000 { // a minute's work
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i%900, i%1300), decision.CompletedPass))
		}
		w.send(records...)
		w.watchCommits()
		members := []*member{w.start(), w.start()}
		r := rand.New(rand.NewPCG(7, 8))
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			time.Sleep(time.Second + time.Duration(r.Int64N(int64(4*time.Second))))
			if len(members) < 4 && r.IntN(2) == 0 || len(members) == 1 {
				members = append(members, w.start())
				continue
			}
			leaves := r.IntN(len(members))
			members[leaves].stop()
			members = slices.Delete(members, leaves, leaves+1)
		}
		w.awaitAll(10 * time.Minute)
		for _, m := range members {
			m.stop()
		}
		w.checkSettledOnce()
		w.checkCommitted()
		w.checkRate(80, 10)
		if got := len(w.completions()); got != len(records) {
			t.Errorf("%d calls for %d decisions", got, len(records))
		}
	})
}

func TestMemberJoiningAndLeavingRepeatsNoCall(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 50 * time.Millisecond, Jitter: 100 * time.Millisecond}, func(t *testing.T, w *world) {
		r := rand.New(rand.NewPCG(3, 4))
		var records []outgoing
		for i := range 6000 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(i%500, i%700), anyState(r)))
		}
		w.send(records...)
		change := func(c *configs.Config) { c.Processor.Workers = 32 }
		a := w.start(change)
		w.await(time.Minute, "a works", func() bool { return w.count(w.cfg.Kafka.Topics.Results) > 500 })
		b := w.start(change)
		w.await(time.Minute, "b works", func() bool { return b.metric("verdict_decisions_total") > 500 })
		a.stop()
		w.await(time.Minute, "b owns every partition", func() bool { return b.metric("verdict_partitions_assigned") == 2*partitions })
		c := w.start(change)
		w.awaitAll(5 * time.Minute)
		b.stop()
		c.stop()
		w.checkOrder(w.checkSettledOnce())
		w.checkCommitted()
		if got := len(w.completions()); got != len(records) {
			t.Errorf("%d calls for %d decisions", got, len(records))
		}
	})
}

func TestRemovedMemberJoinsAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
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
		// The member notices at its next commit or heartbeat. What it settles until
		// then is not committed.
		if again, most := w.settledAgain(), 3*(64+100*3); again > most {
			t.Errorf("%d decisions were settled again, want at most %d", again, most)
		}
	})
}

func TestMemberCutOffFromKafkaRejoins(t *testing.T) {
	t.Parallel()
	inWorld(t, steadyAPI, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 100
		w.watchCommits()
		a, b := w.start(), w.start()
		w.await(time.Minute, "both own partitions", func() bool {
			return a.metric("verdict_partitions_assigned") > 0 && b.metric("verdict_partitions_assigned") > 0
		})
		w.send(passes(w.cfg.Kafka.Topics.Decisions, 6000)...)
		time.Sleep(5 * time.Second)
		a.link.Cut()
		w.await(20*time.Second, "a is paused", func() bool { return a.paused(decision.PausedKafka) })
		w.await(2*time.Minute, "b owns every partition", func() bool { return b.metric("verdict_partitions_assigned") == 2*partitions })
		time.Sleep(5 * time.Second)
		a.link.Mend()
		w.await(2*time.Minute, "a is back", func() bool {
			return a.metric("verdict_partitions_assigned") > 0 && !a.paused(decision.PausedKafka)
		})
		w.await(5*time.Minute, "every decision is settled", func() bool {
			return int(a.metric("verdict_consumer_lag")+b.metric("verdict_consumer_lag")) == 0 && w.count(w.cfg.Kafka.Topics.Results) >= 6000
		})
		a.stop()
		b.stop()
		w.checkCommitted()
		w.checkRate(100, 10)
		// What was in flight or uncommitted when the link broke, and the calls until
		// the publisher noticed, which takes half a second.
		if again := w.settledAgain(); again > 150 {
			t.Errorf("%d decisions were settled again, want at most 150", again)
		}
	})
}

func TestRestartRepeatsNoCallSettledOutOfOrder(t *testing.T) {
	inWorld(t, sandbox.Options{Latency: 10 * time.Millisecond}, func(t *testing.T, w *world) {
		slow := task(1, 1)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.TaskID == slow.TaskID {
				return sandbox.Fault{Do: sandbox.Answer, Status: 503}
			}
			return sandbox.Fault{}
		})
		records := []outgoing{decisionOn(w.cfg.Kafka.Topics.Decisions, slow, decision.CompletedPass)}
		for i := range 500 {
			records = append(records, decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 2+i), decision.CompletedPass))
		}
		w.send(records...)
		m := w.start(func(c *configs.Config) { c.Processor.MaxAttempts = 100 })
		w.await(time.Minute, "all but one settled", func() bool { return w.count(w.cfg.Kafka.Topics.Results) == 500 })
		m.stop()
		_, metadata, _ := w.kafka.Committed(w.cfg.Kafka.GroupID, w.cfg.Kafka.Topics.Decisions, partitionOf(slow))
		if metadata == "" {
			t.Fatal("the commit has no metadata, though 500 offsets are settled beyond it")
		}
		w.setFaults(nil)
		m = w.start()
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
		for i := range 500 {
			if n := w.api.Completions(slow.ProfileID, task(1, 2+i).TaskID); n != 1 {
				t.Fatalf("task %d was completed %d times", i, n)
			}
		}
	})
}

// TestStopAbandonsSlowCalls also shows that the next owner of the partition looks at
// the task before it calls again.
func TestStopAbandonsSlowCalls(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		it := task(1, 1)
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete {
				return sandbox.Fault{Do: sandbox.Hang, Act: true}
			}
			return sandbox.Fault{}
		})
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass))
		m := w.start()
		w.await(time.Minute, "called", func() bool { return len(w.completions()) == 1 })
		began := time.Now()
		m.stop()
		if took := time.Since(began); took > w.cfg.Processor.ShutdownTimeout+2*time.Second {
			t.Errorf("the stop took %v", took)
		}
		m = w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, outcome := range w.checkSettledOnce() {
			if outcome != "already_complete" {
				t.Errorf("outcome %s: the second owner did not look first", outcome)
			}
		}
		if n := w.api.Completions(it.ProfileID, it.TaskID); n != 1 {
			t.Errorf("completed %d times", n)
		}
	})
}
