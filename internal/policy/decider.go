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

// StateTopic is the usual name of the topic that keeps the counts. It is the default
// of --state-topic.
const StateTopic = "verdict-policy-state"

// Claim is the ownership of a partition of the input in one generation of the group.
type Claim interface {
	// Settle reports that the record at offset need not be read again.
	Settle(offset int64)
	// Lost reports whether the partition may already belong to another instance.
	Lost() bool
}

// Publisher publishes decisions and dead letters; broker.Publisher implements it.
type Publisher interface {
	Publish(ctx context.Context, rec decision.Record, done func(error)) error
}

// Log reads and writes the state topic; broker.Connection implements it.
type Log interface {
	Bounds(ctx context.Context, topic string) (map[int]broker.Bound, error)
	Scan(ctx context.Context, o broker.ScanOptions, each func(decision.Record) error) error
	Append(ctx context.Context, topic string, partition int, records []decision.Record) (offset int64, err error)
}

// Options configure a Decider. All fields are required but SweepEvery and Instance.
type Options struct {
	Policies    Set
	Publisher   Publisher
	Log         Log
	State       string // topic of the counts, compacted
	Decisions   string // topic that decisions are published to
	DeadLetters string // topic for records that can't be read
	// MaxBytes bounds the records that are read and not settled yet. Accept waits
	// while there are that many.
	MaxBytes int64
	// SweepEvery is the time between searches for counts to forget; 0: 10 minutes.
	SweepEvery time.Duration
	Metrics    *metrics.Policy
	Logger     *slog.Logger
	Instance   string // names this process in dead letters; empty: they name none
}

func (o *Options) validate() error {
	switch {
	case o.Publisher == nil || o.Log == nil || o.Metrics == nil || o.Logger == nil:
		return errors.New("policy: Publisher, Log, Metrics and Logger are required")
	case o.State == "" || o.Decisions == "" || o.DeadLetters == "":
		return errors.New("policy: State, Decisions and DeadLetters are required")
	case len(o.Policies.policies) == 0:
		return errors.New("policy: Policies has no policy")
	case o.MaxBytes <= 0 || o.SweepEvery < 0:
		return errors.New("policy: MaxBytes must be positive, and SweepEvery not negative")
	}
	return nil
}

// Decider makes decisions from the check results of the partitions that this
// instance owns. Each partition has one worker, from its first result in a
// generation until the generation ends, so the results of a partition keep their
// order.
type Decider struct {
	opts Options
	held *semaphore.Weighted // bytes of the records held, up to MaxBytes
	// decode is Decode; a test replaces it with one that panics.
	decode func(*decision.Record) (Check, bool, error)

	mu      sync.Mutex // short pure sections only
	workers map[Claim]*worker
}

// New returns a Decider without workers.
func New(o Options) (*Decider, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.SweepEvery = cmp.Or(o.SweepEvery, 10*time.Minute)
	return &Decider{opts: o, held: semaphore.NewWeighted(o.MaxBytes), decode: Decode, workers: make(map[Claim]*worker)}, nil
}

// Accept takes over a record, which its claim will settle. It waits while MaxBytes
// are held, while the partition's counts are being restored and while its queue is
// full. An error means that the record was not taken over. ctx must end before
// Drain is called for the claim.
func (d *Decider) Accept(ctx context.Context, claim Claim, rec decision.Record) error {
	w, err := d.workerOf(ctx, claim, rec.Partition)
	if err != nil {
		return err
	}
	// This comes before Acquire: a partition whose counts can't be read must not
	// use up the bytes of the others.
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

// weight returns the part of MaxBytes that a record takes. A record larger than
// MaxBytes takes all of it.
func (d *Decider) weight(rec *decision.Record) int64 {
	return min(int64(rec.Size()), d.opts.MaxBytes)
}

// workerOf returns the claim's worker, which its first record starts.
func (d *Decider) workerOf(ctx context.Context, claim Claim, partition int) (*worker, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Checked under the lock: Drain, which comes after the end of ctx, would not
	// see a worker started later, and nothing would wait for it.
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

// Drain stops the workers of these claims and waits until they have finished the
// batch that they are at, or have given up because ctx ended.
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
