package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// nodes are the three nodes of a real Kafka, which test/kafka/kafka.sh started
// in the folder that VERDICT_TEST_NODES names.
type nodes struct {
	t    *testing.T
	data string
}

func realNodes(t *testing.T) *nodes {
	t.Helper()
	data := os.Getenv("VERDICT_TEST_NODES")
	if data == "" {
		t.Skip("needs three nodes of a real Kafka: make test-kafka")
	}
	return &nodes{t, data}
}

// do runs a command of kafka.sh.
func (n *nodes) do(args ...string) {
	n.t.Helper()
	out, err := exec.CommandContext(context.Background(), "../kafka/kafka.sh", append(args, "--data", n.data)...).CombinedOutput()
	if err != nil {
		n.t.Errorf("kafka.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (n *nodes) kill(id int)  { n.t.Helper(); n.do("kill-node", fmt.Sprint(id)) }
func (n *nodes) start(id int) { n.t.Helper(); n.do("start-node", fmt.Sprint(id)) }

// leader is the node that leads a partition, once one does.
func (s *scene) leader(topic string, partition int) (id int) {
	s.t.Helper()
	await(s.t, "a node leads", func() bool {
		meta, err := s.conn.Client().Metadata(s.ctx(), &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil || meta.Topics[0].Error != nil {
			return false
		}
		for _, p := range meta.Topics[0].Partitions {
			if p.ID == partition {
				id = p.Leader.ID
			}
		}
		return id > 0
	})
	return id
}

// coordinator is the node that coordinates the group, once one does.
func (s *scene) coordinator() (id int) {
	s.t.Helper()
	await(s.t, "a node coordinates", func() bool {
		c, err := s.conn.Client().FindCoordinator(s.ctx(), &kafka.FindCoordinatorRequest{Key: s.group, KeyType: kafka.CoordinatorKeyTypeConsumer})
		if err != nil || c.Error != nil || c.Coordinator == nil {
			return false
		}
		id = c.Coordinator.NodeID
		return true
	})
	return id
}

// TestBrokersAreLost loses nodes of a real Kafka of three, whose topics want two
// replicas in sync: the leader of the results, the coordinator, and all at once
// for a while.
func TestBrokersAreLost(t *testing.T) {
	nodes := realNodes(t)
	s := newScene(t, setting{api: calm})
	sentSoFar := 0
	more := func(n int) {
		s.send(s.passes(s.topics.decisions, sentSoFar, n)...)
		sentSoFar += n
	}
	more(300)
	p := s.start("verdict", "VERDICT_API_RATE_LIMIT=100",
		// The brokers need nine seconds to notice that one of them is dead.
		"VERDICT_KAFKA_SESSION_TIMEOUT=30s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=30s")
	goesOn := func(n int) {
		t.Helper()
		calls := len(s.completions())
		await(t, "it goes on", func() bool { return len(s.completions()) > calls+n })
	}
	goesOn(100)

	began := time.Now()
	more(800) // while nodes are away none can be sent, and many are carried out
	lost := s.leader(s.topics.results, 0)
	nodes.kill(lost)
	goesOn(300)
	nodes.start(lost)
	t.Logf("%v: node %d, a leader, was lost and is back", time.Since(began).Round(time.Second), lost)

	more(800)
	lost = s.coordinator()
	nodes.kill(lost)
	goesOn(300)
	nodes.start(lost)
	t.Logf("%v: node %d, the coordinator, was lost and is back", time.Since(began).Round(time.Second), lost)
	more(500)
	goesOn(100)

	all := []int{1, 2, 3}
	for _, id := range all {
		nodes.kill(id)
	}
	await(t, "it is told that Kafka is away", func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 })
	calls := len(s.completions())
	time.Sleep(5 * time.Second)
	if more := len(s.completions()) - calls; more > workers {
		t.Errorf("%d calls while nothing could be settled", more)
	}
	var starts sync.WaitGroup
	for _, id := range all { // together: one alone has no majority and does not answer
		starts.Go(func() { nodes.start(id) })
	}
	starts.Wait()
	await(t, "the nodes answer", func() bool { return s.count(s.topics.results) >= 0 })
	t.Logf("%v: all nodes were lost and are back", time.Since(began).Round(time.Second))
	s.awaitAll()
	await(t, "it is not paused any more", func() bool { return p.metric("verdict_paused") == 0 })
	more(100)
	s.awaitAll()
	p.stop()
	again := s.again()
	t.Logf("%v: %d decisions, %d of them settled again", time.Since(began).Round(time.Second), sentSoFar, again)
	// A request to store records whose answer was lost is sent again, and all
	// nodes were away for longer than the session.
	if most := 5*workers + 60; again > most {
		t.Errorf("%d decisions were settled again, want at most %d", again, most)
	}
	if repeats := int(s.api.Stats().RepeatCompletions); repeats > 5*workers+60 {
		t.Errorf("%d tasks were completed again", repeats)
	}
	if n := s.count(s.topics.deadLetters); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
