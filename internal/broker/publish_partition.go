package broker

import (
	"errors"
	"fmt"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

// partitionQueue sends a partition's records, one request at a time.
type partitionQueue struct {
	topic *topicQueue
	id    int
	queue *queue
}

// run sends until the publisher is closed.
func (q *partitionQueue) run() {
	p := q.topic.publisher
	attempts := publishAttempts{publisher: p}
	for q.queue.wait(p.ctx) {
		for {
			batch := q.queue.takeBatch(p.options.MaxBatchRecords, p.options.MaxBatchBytes)
			if len(batch) == 0 {
				break
			}
			if !q.send(batch, &attempts) {
				return
			}
		}
	}
}

// send publishes a batch, however many attempts it takes. It returns false if the
// publisher was closed; Close then finds the batch in the queue again.
func (q *partitionQueue) send(batch []*item, attempts *publishAttempts) bool {
	p := q.topic.publisher
	for {
		err := q.produce(batch)
		switch {
		case err == nil:
			attempts.succeeded()
			p.finishAll(batch)
			return true

		case isTooLarge(err) && len(batch) > 1:
			// Halve the batch until the record that is too large stands alone.
			// The others go through, and all keep their order.
			attempts.succeeded()
			half := len(batch) / 2
			if !q.send(batch[:half], attempts) {
				q.queue.push(batch[half:]...)
				return false
			}
			return q.send(batch[half:], attempts)

		case isTooLarge(err):
			attempts.succeeded()
			p.finish(batch[0], err)
			return true
		}

		alreadyStored, ok := q.waitAndCheck(batch[0], err, attempts)
		switch {
		case !ok:
			q.queue.pushFront(batch)
			return false
		case alreadyStored:
			attempts.succeeded()
			p.finishAll(batch)
			return true
		}
		// A topic that was deleted and created again with fewer partitions no
		// longer needs this queue.
		if n, err := q.topic.countPartitions(); err == nil && q.id >= n {
			attempts.succeeded()
			q.topic.queue.pushFront(append(batch, q.queue.takeAll()...))
			return true
		}
	}
}

// waitAndCheck waits after an attempt that failed, and returns whether it was
// nevertheless carried out, if AlreadyStored can tell. ok is false if the
// publisher was closed.
func (q *partitionQueue) waitAndCheck(first *item, err error, attempts *publishAttempts) (alreadyStored, ok bool) {
	p := q.topic.publisher
	for {
		if !attempts.wait(fmt.Errorf("publish to %s/%d: %w%s", q.topic.name, q.id, err, hint(err))) {
			return false, false
		}
		if p.options.AlreadyStored == nil {
			return false, true
		}
		if alreadyStored, err = p.options.AlreadyStored(p.ctx, q.id, &first.rec); err == nil {
			return alreadyStored, true
		}
	}
}

// produce makes one attempt.
func (q *partitionQueue) produce(batch []*item) error {
	p := q.topic.publisher
	if err := batch[0].checkSize(p.options.MaxBatchBytes); err != nil {
		return err
	}
	res, err := p.client.Produce(p.ctx, &kafka.ProduceRequest{
		Topic:        q.topic.name,
		Partition:    q.id,
		RequiredAcks: kafka.RequireAll,
		Records:      &batchReader{items: batch},
	})
	if err == nil {
		err = res.Error
	}
	return markTooLarge(err)
}

// checkSize returns ErrTooLarge for a record that does not fit a batch of limit bytes.
func (it *item) checkSize(limit int) error {
	if size := batchOverhead + it.size; size > limit {
		return fmt.Errorf("%w: %d bytes, the limit is %d", decision.ErrTooLarge, size, limit)
	}
	return nil
}

// markTooLarge adds ErrTooLarge to the errors by which a broker refuses a batch for its
// size.
func markTooLarge(err error) error {
	if errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge) {
		return fmt.Errorf("%w: the broker refuses it: %w", decision.ErrTooLarge, err)
	}
	return err
}

func isTooLarge(err error) bool { return errors.Is(err, decision.ErrTooLarge) }
