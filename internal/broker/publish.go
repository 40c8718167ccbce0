package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

// ErrPublisherClosed is the error for a record whose Publisher was closed before
// the record was acknowledged. It may nevertheless have been stored.
var ErrPublisherClosed = errors.New("broker: publisher is closed")

// PublisherOptions configure a Publisher.
type PublisherOptions struct {
	// Client reaches the cluster. Required.
	Client *kafka.Client
	// MaxPendingBytes bounds the records that are accepted and not yet
	// acknowledged, each counted with 256 bytes of overhead; beyond it Publish
	// blocks. 0: 32 MiB.
	MaxPendingBytes int
	// MaxBatchBytes bounds one request's records for one partition, in bytes
	// with the protocol's overhead, and so the largest record. 0: 1 MiB, just
	// below the broker's own default (message.max.bytes, 1048588).
	MaxBatchBytes int
	// MaxBatchRecords bounds the same by number. 0: 1000.
	MaxBatchRecords int
	// Linger is how long the first record waits for others to share its
	// requests. 0: 2ms.
	Linger time.Duration
	// RequestTimeout bounds one request. kafka-go passes half of it to the
	// broker as the longest time for replicas to follow. That must be longer
	// than the nine seconds in which a cluster notices a dead broker: a request
	// that times out may have been stored, and is sent again. 0: 30s.
	RequestTimeout time.Duration
	// BackoffMin and BackoffMax bound the wait between attempts. 0: 100ms and
	// 5s.
	BackoffMin, BackoffMax time.Duration
	// AlreadyStored is called after an attempt that failed but may have been
	// carried out anyway. It returns whether the topic has the record, which is
	// the request's first; then it has all of them, since a request's records for
	// a partition are stored together or not at all. If it fails it is called
	// again after a wait. Nil: the request is sent again.
	AlreadyStored func(ctx context.Context, partition int, rec *decision.Record) (bool, error)
	// OnHealthChange is called with the error when publishing begins to fail,
	// and with nil when all that failed goes through again. A single failed
	// attempt is no failure yet: every move of a leader costs one. Close itself
	// reports nothing. Calls are made one at a time and must be quick. Nil: no
	// calls.
	OnHealthChange func(err error)
	// Observe is called for each acknowledged record with the time since Publish
	// accepted it. It must be quick. Nil: no calls.
	Observe func(rec *decision.Record, seconds float64)
}

func (o PublisherOptions) withDefaults() PublisherOptions {
	setDefault(&o.MaxPendingBytes, 32<<20)
	setDefault(&o.MaxBatchBytes, batchBytes)
	setDefault(&o.MaxBatchRecords, 1000)
	setDefault(&o.Linger, 2*time.Millisecond)
	setDefault(&o.RequestTimeout, 30*time.Second)
	setDefault(&o.BackoffMin, 100*time.Millisecond)
	setDefault(&o.BackoffMax, max(5*time.Second, o.BackoffMin))
	if o.OnHealthChange == nil {
		o.OnHealthChange = func(error) {}
	}
	if o.Observe == nil {
		o.Observe = func(*decision.Record, float64) {}
	}
	return o
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Publisher publishes records with the acknowledgement of all in-sync replicas
// and reports for each, exactly once, how it ended. It retries every failure but
// a record's size for as long as it takes: an unreachable cluster or a missing
// right delays records, up to MaxPendingBytes, and loses none.
//
// Delivery is at least once: a request whose answer was lost is sent again,
// unless AlreadyStored finds that it need not be. Records with the same key go to
// one partition, the one that the Java client chooses for the key, in the order
// of their Publish calls. Retries keep that order, since each partition has one
// request in progress at a time. One gap remains: a request that timed out here
// may reach the broker after its repetition. Records without a key rotate over
// the partitions.
//
// Publisher does not use kafka.Writer. kafka.Writer sleeps and retries without a
// way to interrupt it, closes only when it is done, sends later batches before
// one that failed, and fails a whole batch for one record's size.
type Publisher struct {
	options PublisherOptions
	client  *kafka.Client   // bounds each request by RequestTimeout
	ctx     context.Context // ends with Close; requests and waits end with it
	cancel  context.CancelFunc
	wg      sync.WaitGroup      // the goroutines of topics and partitions
	pending *semaphore.Weighted // of MaxPendingBytes: what is accepted and not yet done

	mu     sync.Mutex
	closed bool
	topics map[string]*topicQueue

	healthMu sync.Mutex // held while OnHealthChange runs, so that calls are made one at a time
	failing  int        // sequences of attempts that fail now
}

// NewPublisher returns a Publisher, which works until Close. Its goroutines, one
// for each topic and one for each partition, start with the first record for
// each.
func NewPublisher(o PublisherOptions) *Publisher {
	ctx, cancel := context.WithCancel(context.Background())
	o = o.withDefaults()
	return &Publisher{
		options: o,
		// kafka-go passes the client's timeout, not the context's, to the broker.
		// Without one it passes half a second, too short for the followers of a
		// new topic: the batch would be stored, reported as timed out, and stored
		// again.
		client:  &kafka.Client{Addr: o.Client.Addr, Transport: o.Client.Transport, Timeout: o.RequestTimeout},
		ctx:     ctx,
		cancel:  cancel,
		pending: semaphore.NewWeighted(int64(o.MaxPendingBytes)),
		topics:  make(map[string]*topicQueue),
	}
}

// item is a record that was accepted and is not done.
type item struct {
	rec    decision.Record
	done   func(error)
	size   int   // upper bound of its bytes in a request
	weight int64 // its part of MaxPendingBytes
	since  time.Time
}

// itemOverhead is the memory that a pending record takes beside its payload, in
// bytes.
const itemOverhead = 256

// Publish accepts a record: its Topic, Key, Value, Headers and Time, where zero
// stands for now. It blocks only while MaxPendingBytes are reached. If it returns
// nil, done is called exactly once, by a goroutine of the publisher that sends
// nothing for that partition until done returns: done must be quick and must not
// call Publish. If it returns an error, the record was not accepted and done is
// not called.
func (p *Publisher) Publish(ctx context.Context, rec decision.Record, done func(error)) error {
	it := &item{rec: rec, done: done, size: sizeInBatch(&rec), since: time.Now()}
	if it.rec.Time.IsZero() {
		it.rec.Time = it.since
	}
	// A record larger than MaxPendingBytes is let in alone, to be refused like
	// any other that is too large.
	it.weight = min(int64(rec.Size()+itemOverhead), int64(p.options.MaxPendingBytes))
	if err := p.pending.Acquire(ctx, it.weight); err != nil {
		return fmt.Errorf("publish to %s: %w", rec.Topic, err)
	}

	// The lock is held until the record is in its queue. Close takes it too, and
	// so knows that no record comes after it.
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.pending.Release(it.weight)
		return fmt.Errorf("publish to %s: %w", rec.Topic, ErrPublisherClosed)
	}
	t := p.topics[rec.Topic]
	if t == nil {
		t = newTopicQueue(p, rec.Topic)
		p.topics[rec.Topic] = t
		p.wg.Go(t.run)
	}
	t.queue.push(it)
	return nil
}

// Close accepts no more records, waits until all accepted ones are done or ctx
// ends, and ends the publisher's goroutines. It gives up what is not done by then
// with ErrPublisherClosed, and returns an error that says how many.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()

	// Whoever holds all of pending knows that no record is pending.
	all := int64(p.options.MaxPendingBytes)
	flushed := p.pending.TryAcquire(all) || p.pending.Acquire(ctx, all) == nil
	p.cancel()
	p.wg.Wait()
	if flushed {
		p.pending.Release(all)
		return nil
	}
	// The goroutines have put back what they held.
	n := 0
	for _, t := range p.topics {
		n += t.giveUp()
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("close publisher: %d records not published: %w", n, context.Cause(ctx))
}

// finish calls back for a record that is done.
func (p *Publisher) finish(it *item, err error) {
	if err == nil {
		p.options.Observe(&it.rec, time.Since(it.since).Seconds())
	}
	it.done(err)
	p.pending.Release(it.weight)
}

// finishAll calls back for the records of a batch that was stored.
func (p *Publisher) finishAll(batch []*item) {
	for _, it := range batch {
		p.finish(it, nil)
	}
}

// sequenceFailed counts a sequence of attempts that begins to fail, and reports
// the first.
func (p *Publisher) sequenceFailed(err error) {
	p.healthMu.Lock()
	defer p.healthMu.Unlock()
	p.failing++
	if p.failing == 1 {
		p.options.OnHealthChange(err)
	}
}

// sequenceRecovered counts a failing sequence of attempts that ended, and reports
// the last.
func (p *Publisher) sequenceRecovered() {
	p.healthMu.Lock()
	defer p.healthMu.Unlock()
	p.failing--
	if p.failing == 0 {
		p.options.OnHealthChange(nil)
	}
}
