package broker

import (
	"fmt"

	"github.com/segmentio/kafka-go"
)

// topicQueue takes a topic's records and gives each to its partition. What
// can't be placed, since the topic is missing or no broker ever answered, waits
// here.
type topicQueue struct {
	publisher *Publisher
	name      string
	queue     *queue

	// The rest belongs to run; after it has returned, to giveUp.
	partitions []*partitionQueue
	ids        []int // 0, 1, 2, …: the form in which the balancer wants partitions
	turn       int   // counts rounds, for records without a key
}

func newTopicQueue(p *Publisher, name string) *topicQueue {
	return &topicQueue{publisher: p, name: name, queue: newQueue()}
}

// run places records until the publisher is closed.
func (t *topicQueue) run() {
	p := t.publisher
	attempts := attempts{publisher: p}
	for t.queue.wait(p.ctx) {
		if !sleep(p.ctx, p.options.Linger) {
			return
		}
		n, err := t.lookUp()
		for err != nil {
			if !attempts.wait(err) {
				return
			}
			n, err = t.lookUp()
		}
		attempts.succeeded()
		t.place(t.queue.takeAll(), n)
	}
}

// lookUp is the topic's number of partitions, from the transport's memory where
// that knows it.
func (t *topicQueue) lookUp() (int, error) {
	counts, missing, err := Partitions(t.publisher.ctx, t.publisher.client, t.name)
	if err == nil && (len(missing) > 0 || counts[t.name] == 0) {
		err = kafka.UnknownTopicOrPartition
	}
	if err != nil {
		return 0, fmt.Errorf("publish to %s: %w%s", t.name, err, likelyCause(err))
	}
	return counts[t.name], nil
}

// place gives items to the queues of n partitions.
func (t *topicQueue) place(items []*item, n int) {
	for id := len(t.partitions); id < n; id++ {
		q := &partitionQueue{topic: t, id: id, queue: newQueue()}
		t.partitions = append(t.partitions, q)
		t.ids = append(t.ids, id)
		t.publisher.wg.Go(q.run)
	}
	// Records without a key take turns by the round, not one by one: a round
	// of them then makes one request and not one for each partition.
	t.turn++
	placed := make([][]*item, n)
	for _, it := range items {
		id := t.turn % n
		if it.rec.Key != nil {
			id = balancer.Balance(kafka.Message{Key: it.rec.Key}, t.ids[:n]...)
		}
		placed[id] = append(placed[id], it)
	}
	for id, items := range placed {
		if len(items) > 0 {
			t.partitions[id].queue.push(items...)
		}
	}
}

// balancer chooses by the key's hash as the Java client does, so that a
// profile's records keep to one partition whoever publishes them.
var balancer kafka.Murmur2Balancer

// giveUp ends what is left when all goroutines have ended and returns its
// number.
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
