package broker

import (
	"fmt"

	"github.com/segmentio/kafka-go"

	"verdict/internal/retry"
)

// topicQueue takes a topic's records and gives each to its partition. Records
// wait here while the number of partitions is not known: the topic is missing,
// or no broker has answered yet.
type topicQueue struct {
	publisher *Publisher
	name      string
	queue     *queue

	// The rest belongs to run and, after run has returned, to giveUp.
	partitions []*partitionQueue
	ids        []int // 0, 1, 2, …: the form in which the balancer takes partitions
	round      int   // counts calls of assign, for records without a key
}

func newTopicQueue(p *Publisher, name string) *topicQueue {
	return &topicQueue{publisher: p, name: name, queue: newQueue()}
}

// run assigns records to partitions until the publisher is closed.
func (t *topicQueue) run() {
	p := t.publisher
	attempts := publishAttempts{publisher: p}
	for t.queue.wait(p.ctx) {
		if retry.Sleep(p.ctx, p.options.Linger) != nil {
			return
		}
		n, err := t.countPartitions()
		for err != nil {
			if !attempts.wait(err) {
				return
			}
			n, err = t.countPartitions()
		}
		attempts.succeeded()
		t.assign(t.queue.takeAll(), n)
	}
}

// countPartitions returns the topic's number of partitions, from the transport's
// cache where that has it.
func (t *topicQueue) countPartitions() (int, error) {
	counts, missing, err := Partitions(t.publisher.ctx, t.publisher.client, t.name)
	if err == nil && (len(missing) > 0 || counts[t.name] == 0) {
		err = kafka.UnknownTopicOrPartition
	}
	if err != nil {
		return 0, fmt.Errorf("publish to %s: %w%s", t.name, err, hint(err))
	}
	return counts[t.name], nil
}

// assign gives items to the queues of n partitions.
func (t *topicQueue) assign(items []*item, n int) {
	for id := len(t.partitions); id < n; id++ {
		q := &partitionQueue{topic: t, id: id, queue: newQueue()}
		t.partitions = append(t.partitions, q)
		t.ids = append(t.ids, id)
		t.publisher.wg.Go(q.run)
	}
	// Records without a key rotate by round and not one by one: those of a round
	// then make one request, and not one for each partition.
	t.round++
	assigned := make([][]*item, n)
	for _, it := range items {
		id := choosePartition(it.rec.Key, t.round, t.ids[:n])
		assigned[id] = append(assigned[id], it)
	}
	for id, items := range assigned {
		if len(items) > 0 {
			t.partitions[id].queue.push(items...)
		}
	}
}

// choosePartition returns the partition of a key, and for none that of the round. ids
// are the topic's partitions: 0, 1, 2, …
func choosePartition(key []byte, round int, ids []int) int {
	if key == nil {
		return ids[round%len(ids)]
	}
	return keyBalancer.Balance(kafka.Message{Key: key}, ids...)
}

// keyBalancer chooses by the key's hash like the Java client, so that a profile's
// records keep to one partition whoever publishes them.
var keyBalancer kafka.Murmur2Balancer

// giveUp ends the items that are left when all goroutines have ended, and
// returns their number.
func (t *topicQueue) giveUp() int {
	left := t.queue.takeAll()
	for _, q := range t.partitions {
		left = append(left, q.queue.takeAll()...)
	}
	for _, it := range left {
		t.publisher.finish(it, fmt.Errorf("publish to %s: %w", t.name, ErrPublisherClosed))
	}
	return len(left)
}
