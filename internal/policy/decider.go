package policy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/metrics"
)

// StateTopic is the topic that counts are kept in, where no other is named.
const StateTopic = "verdict-policy-state"

// Claim is the hold on a partition of the input, which can be lost.
type Claim interface {
	// Settle tells that the record at offset need not be read again.
	Settle(offset int64)
	// Lost says whether the partition may belong to another instance by now.
	Lost() bool
}

// Publisher publishes decisions and dead letters; broker.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, rec decision.Record, done func(error)) error
}

// Log is what the state topic is read and written by; broker.Connection is one.
type Log interface {
	Bounds(ctx context.Context, topic string) (map[int]broker.Bound, error)
	Scan(ctx context.Context, o broker.ScanOptions, each func(decision.Record) error) error
	Append(ctx context.Context, topic string, partition int, records []decision.Record) (offset int64, err error)
}

// Options configure a Decider. What has no default is required.
type Options struct {
	Policies  Set
	Publisher Publisher
	Log       Log
	State     string // the compacted topic of counts; empty: StateTopic
	// Decisions is the topic that decisions go to, DeadLetters the one for what
	// can't be read.
	Decisions, DeadLetters string
	// MaxBytes bounds the records that are held: read and not yet settled. At it
	// Accept waits. 0: 32 MiB.
	MaxBytes int64
	// SweepEvery is the time between looks for counts that are too old. 0: 10
	// minutes.
	SweepEvery time.Duration
	Metrics    *metrics.Policy
	Logger     *slog.Logger
	Instance   string // names this process in dead letters
}

func (o *Options) withDefaults() {
	o.State = cmp.Or(o.State, StateTopic)
	o.MaxBytes = cmp.Or(o.MaxBytes, 32<<20)
	o.SweepEvery = cmp.Or(o.SweepEvery, 10*time.Minute)
}

func (o *Options) validate() error {
	switch {
	case o.Publisher == nil || o.Log == nil || o.Metrics == nil || o.Logger == nil:
		return errors.New("policy: Publisher, Log, Metrics and Logger are needed")
	case o.Decisions == "" || o.DeadLetters == "":
		return errors.New("policy: Decisions and DeadLetters are needed")
	case len(o.Policies.policies) == 0:
		return errors.New("policy: Policies: none")
	case o.MaxBytes < 0 || o.SweepEvery < 0:
		return errors.New("policy: MaxBytes and SweepEvery must not be negative")
	}
	return nil
}

// Decider decides the check results of the partitions that this instance owns.
// Each partition has a worker, from its first result in a generation to the
// generation's end; so there is one order in a partition, and none between two.
type Decider struct {
	opts Options
	held *semaphore.Weighted // of MaxBytes
	// decode is Decode; a test has one that panics.
	decode func(*decision.Record) (Check, bool, error)

	mu      sync.Mutex // short pure sections only
	workers map[Claim]*worker
}

// New is a Decider that waits for results.
func New(o Options) (*Decider, error) {
	o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Decider{opts: o, held: semaphore.NewWeighted(o.MaxBytes), decode: Decode, workers: make(map[Claim]*worker)}, nil
}

// Accept takes a record over, to be settled by its claim. It waits while there is
// no room, and while its partition's counts are restored and its queue is full; an
// error means that the record was not taken. ctx must end before Drain is called
// for the claim.
func (d *Decider) Accept(ctx context.Context, claim Claim, rec decision.Record) error {
	w, err := d.worker(ctx, claim, rec.Partition)
	if err != nil {
		return err
	}
	// Before it takes room: a partition whose counts can't be read must not
	// hold the room of those that go on.
	select {
	case <-w.ready:
	case <-w.ended:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	}
	weight := d.weight(&rec)
	if err := d.held.Acquire(ctx, weight); err != nil {
		return err
	}
	select {
	case w.in <- rec:
		select {
		case <-w.ended:
			w.release()
		default:
		}
		return nil
	case <-w.ended:
		err = errLost
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.held.Release(weight)
	return err
}

// weight is the part of MaxBytes that a record takes; one that is larger than
// everything is let in alone.
func (d *Decider) weight(rec *decision.Record) int64 {
	return min(int64(rec.Size()), d.opts.MaxBytes)
}

// worker is the claim's worker, started by its first record.
func (d *Decider) worker(ctx context.Context, claim Claim, partition int) (*worker, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Looked at under the lock: a worker that Drain, which comes after the end
	// of ctx, does not see would be waited for by nobody.
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w := d.workers[claim]
	if w == nil {
		w = newWorker(d, claim, partition)
		d.workers[claim] = w
		go w.run() // waited for by Drain
	}
	return w, nil
}

// Drain lets the workers of these claims end what they have begun, and returns
// when they have, or have given up because ctx ended.
func (d *Decider) Drain(ctx context.Context, claims []Claim) {
	var draining []*worker
	d.mu.Lock()
	for _, claim := range claims {
		if w := d.workers[claim]; w != nil {
			draining = append(draining, w)
			delete(d.workers, claim)
		}
	}
	d.mu.Unlock()
	for _, w := range draining {
		w.stop()
	}
	for _, w := range draining {
		select {
		case <-w.ended:
		case <-ctx.Done():
			w.abort()
			<-w.ended
		}
	}
}
