package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// ErrFenced is the error of a Transactional that the cluster lets write no more: another
// one has taken over its ID, or its transaction took longer than the cluster allows, such
// as when the machine slept.
var ErrFenced = errors.New("broker: the transactional ID was taken over")

// errUnanswered is why a Transactional ends though its last Write succeeded.
var errUnanswered = errors.New("a request was not answered, and might end the next transaction if it arrives late")

// ByKey is the Partition of a record that goes to the partition of its key.
const ByKey = -1

// A transaction is allowed a minute. Write takes at most the times below, so that it knows
// how its transaction ended before the cluster aborts it.
const (
	transactionTimeout = time.Minute
	storeTimeout       = 25 * time.Second // longer than a leader takes to move
	commitTimeout      = 30 * time.Second // longer than a coordinator takes to move and to read its log
	abortTimeout       = 5 * time.Second

	// transactionRequestTimeout bounds one request, so that there is time for another.
	transactionRequestTimeout = 10 * time.Second
)

// storeAtOnce is how many partitions a transaction writes to in parallel, each with a
// batch in memory.
const storeAtOnce = 16

// Transactional writes records in Kafka transactions under one transactional ID. It has
// one user at a time, and ends with its first error.
type Transactional struct {
	id         string
	client     *kafka.Client
	producer   *kafka.ProducerSession
	partitions map[decision.Position]*transactionPartition // all that were written to, by their offset 0
	round      int                                         // counts calls of Write, for records without a key
	err        error                                       // why it has ended
}

// NewTransactional takes over a transactional ID. It waits until the transaction that the
// previous owner left has ended, so that what is committed from then on is final, and the
// cluster refuses all that the previous owner still sends. It retries transient errors
// until ctx ends. There is nothing to close.
func (c *Connection) NewTransactional(ctx context.Context, id string) (*Transactional, error) {
	t := &Transactional{
		id:         id,
		client:     &kafka.Client{Addr: c.client.Addr, Transport: c.client.Transport, Timeout: transactionRequestTimeout},
		partitions: make(map[decision.Position]*transactionPartition),
	}
	err := retryTransient(ctx, nil, func() error {
		answer, err := t.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{
			TransactionalID: id, TransactionTimeoutMs: int(transactionTimeout.Milliseconds()),
			ProducerID: -1, ProducerEpoch: -1, // none; 0 would be the first producer of the cluster
		})
		if err == nil {
			t.producer, err = answer.Producer, answer.Error
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take over transactional ID %s: %w%s", id, err, hint(err))
	}
	return t, nil
}

// Write writes records in one transaction, and those of last after the others are stored:
// their Topic, Key, Value, Headers and Time, where zero stands for now. A record goes to its
// Partition; with ByKey to the one that Publisher would choose. Records of a partition keep
// their order. Readers of a partition wait for the transactions that are open in it: those
// of a partition that is only in last wait for the commit and not for the other records.
//
// If it returns nil, all of them are committed at the places it returns, those of last at
// the end, and read-committed
// readers see them as soon as the brokers have passed that on. After an error they see all
// or none: make another Transactional, and read what was written. Only
// if the error is ErrFenced, find out first who has taken over.
//
// It ends within the minute that the cluster allows a transaction. When ctx ends before
// everything is stored, it aborts; then the commit has begun, and is waited for.
func (t *Transactional) Write(ctx context.Context, records []decision.Record, last ...decision.Record) (placed []decision.Position, err error) {
	if t.err != nil || len(records)+len(last) == 0 {
		return nil, t.err
	}
	placed, err = t.write(ctx, records, last)
	if err != nil {
		t.err = fmt.Errorf("write with transactional ID %s: %w%s", t.id, err, hint(err))
		return nil, t.err
	}
	return placed, nil
}

func (t *Transactional) write(ctx context.Context, records, last []decision.Record) ([]decision.Position, error) {
	within, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	parts, first, err := t.assign(within, records, last)
	if err != nil {
		return nil, err
	}
	err = t.add(within, parts)
	if err == nil {
		err = t.store(within, parts[:first])
	}
	if err == nil {
		err = t.store(within, parts[first:])
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		// Readers need not wait until the cluster aborts it. If this fails, they do. The
		// coordinator also knows better than a leader whether it was a takeover.
		if aborted := t.end(ctx, false, abortTimeout); errors.Is(aborted, ErrFenced) {
			err = fmt.Errorf("%w: %w", aborted, err)
		}
		return nil, err
	}
	if err := t.end(ctx, true, commitTimeout); err != nil {
		return nil, err
	}
	placed := make([]decision.Position, len(records)+len(last))
	for _, p := range parts {
		p.takePlaces(placed)
	}
	return placed, nil
}

// assign gives each record to its partition and returns the partitions that have some. The
// first ones have one that is not of last.
func (t *Transactional) assign(ctx context.Context, records, last []decision.Record) (parts []*transactionPartition, first int, err error) {
	topics := make(map[string][]int) // the partitions of those that need them: 0, 1, 2, …
	t.round++
	now := time.Now()
	items := make([]item, len(records)+len(last))
	for i := range items {
		if i == len(records) {
			first = len(parts)
		}
		it := &items[i]
		if i < len(records) {
			it.rec = records[i]
		} else {
			it.rec = last[i-len(records)]
		}
		rec := &it.rec
		it.size = sizeInBatch(rec)
		if rec.Time.IsZero() {
			rec.Time = now
		}
		if err := it.checkSize(batchBytes); err != nil {
			return nil, 0, fmt.Errorf("record %d, to %s: %w", i, rec.Topic, err)
		}
		id := rec.Partition
		if id < 0 {
			if topics[rec.Topic] == nil {
				ids, err := t.partitionsOf(ctx, rec.Topic)
				if err != nil {
					return nil, 0, err
				}
				topics[rec.Topic] = ids
			}
			id = choosePartition(rec.Key, t.round, topics[rec.Topic])
		}
		place := decision.Position{Topic: rec.Topic, Partition: id}
		p := t.partitions[place]
		if p == nil {
			p = &transactionPartition{producer: t, topic: rec.Topic, id: id}
			t.partitions[place] = p
		}
		if len(p.items) == 0 {
			parts = append(parts, p)
		}
		p.items, p.indexes = append(p.items, it), append(p.indexes, i)
	}
	if len(last) == 0 {
		first = len(parts)
	}
	return parts, first, nil
}

func (t *Transactional) partitionsOf(ctx context.Context, topic string) ([]int, error) {
	var ids []int
	err := retryTransient(ctx, nil, func() error {
		counts, missing, err := Partitions(ctx, t.client, topic)
		if err == nil && (len(missing) > 0 || counts[topic] == 0) {
			err = missingTopic(topic)
		}
		for id := range counts[topic] {
			ids = append(ids, id)
		}
		return err
	})
	return ids, err
}

// add begins the transaction: it has the coordinator note the partitions, in which it will
// write how the transaction ended.
func (t *Transactional) add(ctx context.Context, parts []*transactionPartition) error {
	topics := make(map[string][]kafka.AddPartitionToTxn)
	for _, p := range parts {
		topics[p.topic] = append(topics[p.topic], kafka.AddPartitionToTxn{Partition: p.id})
	}
	return t.ask(ctx, func(ctx context.Context) error {
		answer, err := t.client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{
			TransactionalID: t.id, ProducerID: t.producer.ProducerID, ProducerEpoch: t.producer.ProducerEpoch, Topics: topics,
		})
		if err != nil {
			return err
		}
		// If one is refused, the others have this error. kafka-go has no name for it.
		const operationNotAttempted = kafka.Error(55)
		for topic, partitions := range answer.Topics {
			for _, p := range partitions {
				if p.Error != nil && !errors.Is(p.Error, operationNotAttempted) {
					return fmt.Errorf("%s/%d: %w", topic, p.Partition, p.Error)
				}
			}
		}
		return nil
	})
}

// store has the leaders store the records. After an error it waits for the requests that
// are on their way: one that reached its leader only after the transaction was aborted
// would begin another there, in Kafka before 3.6, which stops readers for good.
func (t *Transactional) store(ctx context.Context, parts []*transactionPartition) error {
	storing, ctx := errgroup.WithContext(ctx)
	storing.SetLimit(storeAtOnce)
	for _, p := range parts {
		storing.Go(func() error {
			if err := p.store(ctx); err != nil {
				return fmt.Errorf("%s/%d: %w", p.topic, p.id, err)
			}
			return nil
		})
	}
	return storing.Wait()
}

// end commits or aborts the transaction. It does not end with ctx, only after timeout.
// To repeat the request is harmless: the coordinator knows which transaction ended last.
func (t *Transactional) end(ctx context.Context, commit bool, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return t.ask(ctx, func(ctx context.Context) error {
		answer, err := t.client.EndTxn(ctx, &kafka.EndTxnRequest{
			TransactionalID: t.id, ProducerID: t.producer.ProducerID, ProducerEpoch: t.producer.ProducerEpoch, Committed: commit,
		})
		if err == nil {
			err = answer.Error
		}
		return err
	})
}

// ask makes a request to the coordinator, which kafka-go finds each time, until its answer
// is final. One that was not answered may arrive late and, since the epoch is the same,
// would commit half of the next transaction; so there is none.
func (t *Transactional) ask(ctx context.Context, request func(ctx context.Context) error) error {
	return retryTransient(ctx, nil, func() error {
		requestCtx, cancel := uncancelled(ctx)
		defer cancel()
		err := request(requestCtx)
		if !isAnswer(err) {
			t.err = fmt.Errorf("transactional ID %s: %w", t.id, errUnanswered)
		}
		return markFenced(err)
	})
}

// uncancelled returns a context that ends only at the deadline of ctx, for a request whose
// answer must be known.
func uncancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

func isAnswer(err error) bool { return err == nil || hasType[kafka.Error](err) }

// markFenced adds ErrFenced to the errors by which the cluster refuses a producer that is
// not the owner of its transactional ID.
func markFenced(err error) error {
	for _, known := range []error{kafka.ProducerFenced, kafka.InvalidProducerEpoch, kafka.InvalidProducerIDMapping} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", ErrFenced, err)
		}
	}
	return err
}
