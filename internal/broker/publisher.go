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

// Errors that Publisher gives to a record's done or returns from Publish.
var (
	// ErrPublisherClosed: the publisher was closed before the record was
	// acknowledged. The record may have been published all the same.
	ErrPublisherClosed = errors.New("broker: publisher is closed")
)

// PublisherOptions describe a Publisher.
type PublisherOptions struct {
	// Client reaches the cluster. Required.
	Client *kafka.Client
	// MaxPendingBytes bounds the records that were accepted and not yet
	// acknowledged, each counted with some hundred bytes for its keeping;
	// beyond it Publish blocks. 0 means 32 MiB.
	MaxPendingBytes int
	// MaxBatchBytes bounds one request's records for one partition, and so
	// the largest record, with the protocol's overhead. 0 means 1 MiB, just
	// below the broker's own default (message.max.bytes, 1048588).
	MaxBatchBytes int
	// MaxBatchRecords bounds the same by number; 0 means 1000.
	MaxBatchRecords int
	// Linger is how long the first record waits for others to share its
	// requests; 0 means 2ms.
	Linger time.Duration
	// RequestTimeout bounds one request; 0 means 30s. The broker is told half
	// of it as the longest time for replicas to follow, which must be longer
	// than the nine seconds that a cluster takes to notice a dead broker: a
	// request that times out may have been stored, and is sent again.
	RequestTimeout time.Duration
	// BackoffMin and BackoffMax bound the wait between attempts; 0 means
	// 100ms and 5s.
	BackoffMin, BackoffMax time.Duration
	// AlreadyStored is asked, after an attempt that failed and may have been carried
	// out all the same, whether a record is in its topic: the request's first,
	// with which all of them are, since a request's records for a partition are
	// stored together or not at all. If it fails it is asked again, after a
	// wait. Nil means that nobody looks: the request is sent again.
	AlreadyStored func(ctx context.Context, partition int, rec *decision.Record) (bool, error)
	// OnHealthChange is called with true and the reason when publishing begins to
	// fail, and with false and nil when all that failed goes through again;
	// nil means nobody asks. A single failed attempt is no failure yet: every
	// move of a leader costs one. Close says no more. Calls are made one at a
	// time and must be quick.
	OnHealthChange func(err error)
	// Observe is called for each acknowledged record with the time since
	// Publish accepted it; nil means nobody asks. It must be quick.
	Observe func(rec *decision.Record, seconds float64)
}

func (o PublisherOptions) withDefaults() PublisherOptions {
	setDefault(&o.MaxPendingBytes, 32<<20)
	setDefault(&o.MaxBatchBytes, 1<<20)
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
// and says for each, exactly once, how it ended. Whatever fails, but for a
// record's size, is tried again for as long as it takes: a cluster that is away
// or a right that is missing delays records, up to MaxPendingBytes, and loses
// none.
//
// Delivery is at least once: a request whose answer was lost is sent again, unless
// AlreadyStored finds that it need not be.
// Records with the same key go to one partition, the one that the Java client
// chooses for the key, in the order of their Publish calls, also when requests
// are sent again, since each partition has one request under way at a time.
// What remains is a request that timed out here and arrives at the broker after
// its repetition. Records without a key go to the partitions by turns.
//
// It does not use kafka.Writer, which sleeps and tries again uninterruptibly,
// closes only when it has, sends what comes after a failed batch before the
// batch, and calls a whole batch failed for one record's size.
type Publisher struct {
	options PublisherOptions
	client  *kafka.Client   // ends each request with RequestTimeout
	ctx     context.Context // ends with Close: requests and waits end with it
	cancel  context.CancelFunc
	wg      sync.WaitGroup      // the topics' and the partitions' goroutines
	pending *semaphore.Weighted // of MaxPendingBytes: what is accepted and not yet done

	mu     sync.Mutex
	closed bool
	topics map[string]*topicQueue

	stateMu sync.Mutex
	failing int // sequences of attempts that fail now
}

// NewPublisher makes a Publisher, which works until Close. Its goroutines, one
// for each topic and one for each partition, start with the first record for
// each.
func NewPublisher(o PublisherOptions) *Publisher {
	ctx, cancel := context.WithCancel(context.Background())
	o = o.withDefaults()
	return &Publisher{
		options: o,
		// The client's time-out, not the context's, is what the broker is
		// told. Without one it is told half a second, in which the followers
		// of a new topic don't get going: the batch is stored, called timed
		// out, and stored again.
		client:  &kafka.Client{Addr: o.Client.Addr, Transport: o.Client.Transport, Timeout: o.RequestTimeout},
		ctx:     ctx,
		cancel:  cancel,
		pending: semaphore.NewWeighted(int64(o.MaxPendingBytes)),
		topics:  make(map[string]*topicQueue),
	}
}

// item is a record on its way.
type item struct {
	rec    decision.Record
	done   func(error)
	size   int   // upper bound of its bytes in a request
	weight int64 // its part of MaxPendingBytes
	since  time.Time
}

// keeping is the memory that a pending record takes beside its payload.
const keeping = 256

// Publish accepts a record: its Topic, Key, Value, Headers and Time, by which
// zero means now. It blocks only while MaxPendingBytes are reached. If it
// returns nil, done is called exactly once, by a goroutine of the publisher that
// sends nothing for that partition meanwhile: it must be quick and must not call
// Publish. If it returns an error, the record was not accepted and done is not
// called.
func (p *Publisher) Publish(ctx context.Context, rec decision.Record, done func(error)) error {
	it := &item{rec: rec, done: done, size: sizeInBatch(&rec), since: time.Now()}
	if it.rec.Time.IsZero() {
		it.rec.Time = it.since
	}
	// One that is larger than everything is let in alone, to be refused like
	// any other that is too large.
	it.weight = min(int64(rec.Size()+keeping), int64(p.options.MaxPendingBytes))
	if err := p.pending.Acquire(ctx, it.weight); err != nil {
		return fmt.Errorf("publish to %s: %w", rec.Topic, err)
	}

	// The lock is held until the record is in its queue: Close, which takes it
	// too, then knows that no record comes after it.
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

// Close accepts no more records, waits until all that were accepted are done or
// ctx ends, and ends the publisher's goroutines. What is not done by then is
// given up with ErrPublisherClosed; Close then returns an error that says how
// many.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()

	// To own all of pending is to know that nobody else owns any.
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

// finish calls back for a record that has come to its end.
func (p *Publisher) finish(it *item, err error) {
	if err == nil {
		p.options.Observe(&it.rec, time.Since(it.since).Seconds())
	}
	it.done(err)
	p.pending.Release(it.weight)
}

// setFailing tells OnHealthChange when the first of the sequences of attempts begins
// to fail and when the last ends to.
func (p *Publisher) setFailing(failing bool, err error) {
	p.stateMu.Lock()
	defer p.stateMu.Unlock()
	if failing {
		p.failing++
		if p.failing == 1 {
			p.options.OnHealthChange(err)
		}
		return
	}
	p.failing--
	if p.failing == 0 {
		p.options.OnHealthChange(nil)
	}
}
