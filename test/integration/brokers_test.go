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

// nodes are the three nodes of a real Kafka that test/kafka/kafka.sh started.
type nodes struct {
	t    *testing.T
	data string // the nodes' folder, as VERDICT_TEST_NODES names it
}

// realNodes returns the nodes, or skips the test.
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

// leader waits until a partition has a leader and returns its node.
func (s *scene) leader(topic string, partition int) (id int) {
	s.t.Helper()
	await(s.t, "the partition has a leader", func() bool {
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

// coordinator waits until the group has a coordinator and returns its node.
func (s *scene) coordinator() (id int) {
	s.t.Helper()
	await(s.t, "the group has a coordinator", func() bool {
		c, err := s.conn.Client().FindCoordinator(s.ctx(), &kafka.FindCoordinatorRequest{Key: s.group, KeyType: kafka.CoordinatorKeyTypeConsumer})
		if err != nil || c.Error != nil || c.Coordinator == nil {
			return false
		}
		id = c.Coordinator.NodeID
		return true
	})
	return id
}

// TestBrokersAreLost kills nodes of a real Kafka with three nodes and
// min.insync.replicas=2: the leader of the results, the coordinator, and for a while all
// of them. The steps share one service and depend on each other, so they are one test.
func TestBrokersAreLost(t *testing.T) {
	nodes := realNodes(t)
	s := newScene(t, sceneOptions{api: fastAPI})
	total := 0
	send := func(n int) {
		s.send(s.passing(s.topics.decisions, total, n)...)
		total += n
	}
	send(300)
	p := s.start("verdict", "VERDICT_API_RATE_LIMIT=100",
		// The brokers take nine seconds to notice that one of them is dead.
		"VERDICT_KAFKA_SESSION_TIMEOUT=30s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=30s")
	awaitCalls := func(n int) {
		t.Helper()
		calls := len(s.completions())
		await(t, "calls continue", func() bool { return len(s.completions()) > calls+n })
	}
	awaitCalls(100)

	start := time.Now()
	send(800) // enough to continue while a node is down and nothing can be sent
	lost := s.leader(s.topics.results, 0)
	nodes.kill(lost)
	awaitCalls(300)
	nodes.start(lost)
	t.Logf("%v: node %d, a leader, was killed and is back", time.Since(start).Round(time.Second), lost)

	send(800)
	lost = s.coordinator()
	nodes.kill(lost)
	awaitCalls(300)
	nodes.start(lost)
	t.Logf("%v: node %d, the coordinator, was killed and is back", time.Since(start).Round(time.Second), lost)
	send(500)
	awaitCalls(100)

	all := []int{1, 2, 3}
	for _, id := range all {
		nodes.kill(id)
	}
	await(t, "the pause for Kafka", func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 })
	calls := len(s.completions())
	time.Sleep(5 * time.Second)
	if n := len(s.completions()) - calls; n > workers {
		t.Errorf("%d calls while nothing could be settled, want at most %d", n, workers)
	}
	var starts sync.WaitGroup
	for _, id := range all { // together: a single node has no majority and does not answer
		starts.Go(func() { nodes.start(id) })
	}
	starts.Wait()
	await(t, "the nodes answer", func() bool { return s.count(s.topics.results) >= 0 })
	t.Logf("%v: all nodes were killed and are back", time.Since(start).Round(time.Second))
	s.awaitAll()
	await(t, "the pause is over", func() bool { return p.metric("verdict_paused") == 0 })
	send(100)
	s.awaitAll()
	p.stop()
	repeats := s.repeats()
	t.Logf("%v: %d decisions, %d of them settled again", time.Since(start).Round(time.Second), total, repeats)
	// A produce request whose answer was lost is sent again, and all nodes were down for
	// longer than the session.
	if repeats > repeatBound {
		t.Errorf("%d decisions were settled again, want at most %d", repeats, repeatBound)
	}
	if n := int(s.api.Stats().RepeatCompletions); n > repeatBound {
		t.Errorf("%d tasks were completed again, want at most %d", n, repeatBound)
	}
	if n := s.count(s.topics.deadLetters); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}
