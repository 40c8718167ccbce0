// Package processor carries decisions out. It owns the middle of a decision's
// life: queued behind the others of its task, chosen, called, retried or not, and
// settled by a result or a dead letter.
//
// It connects small pure machines, each a package of its own, with the workers
// and the publisher:
//
//	queue    which decision goes next          pacer    when the next call may go
//	health   is the API well                   resolve  a task's ID from alias or type
//	profile  when to review a profile          recent   what was settled lately
//
// Their owner (owner.go) feeds them events, one at a time; the pacer has its own
// (tokens.go). The rest of the package waits, calls and publishes, and acts on their
// answers. An attempt at a decision goes through stages, a
// file each: resolve, preflight, complete, classify, and then retry or settle.
//
// Where decisions come from and where their offsets go is left to the Claim that each
// comes with; how records are published is left to the Publisher. No Kafka client's
// types are used here.
package processor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/retry"
	"verdict/metrics"
)

// API is the part of passfort.Client that decisions need. Each call is made
// once.
type API interface {
	CompleteTask(ctx context.Context, profileID, taskID string, s decision.State) (passfort.Task, passfort.Response, error)
	GetTask(ctx context.Context, profileID, taskID string) (passfort.Task, passfort.Response, error)
	ListTasks(ctx context.Context, profileID string) ([]passfort.Task, passfort.Response, error)
	WhoAmI(ctx context.Context) (passfort.Identity, passfort.Response, error)
}

// Publisher publishes results and dead letters.
type Publisher interface {
	// Publish takes a record over and calls done once: with nil when all in-sync
	// replicas have the record, with an error that is decision.ErrTooLarge when
	// Kafka will never take it, and with another error when the publisher was
	// closed. It may wait for room until ctx ends. If it returns an error, it did
	// not take the record.
	Publish(ctx context.Context, rec decision.Record, done func(error)) error
}

// Claim is the hold on the partition that a record came from.
type Claim interface {
	// Settle notes that the record at offset need not be read again. It does
	// nothing once the claim is lost.
	Settle(offset int64)
	// Attempted notes how far an unsettled decision got.
	Attempted(offset int64, p decision.Progress)
	// Fetch reads records of the partition once more, at offsets that ascend, and leaves
	// out those that are gone. It retries until ctx ends.
	Fetch(ctx context.Context, offsets []int64) ([]decision.Record, error)
}

// Options configure a Processor. Every field is required unless it says
// otherwise.
type Options struct {
	API       API
	Publisher Publisher
	Metrics   *metrics.Metrics
	Logger    *slog.Logger

	// Decode reads the decision in a record. It may wait, until ctx ends, for what
	// it needs to understand the record; any other error is the record's own fault
	// and goes into its dead letter.
	Decode func(ctx context.Context, rec *decision.Record) (decision.Decision, error)

	Instance    string // names this instance in dead letters; "" is allowed
	Results     string // topic
	DeadLetters string // topic

	RateLimit  float64 // calls a second; 0: unlimited
	Burst      int     // calls that may go at once, above the rate; at least 1
	GroupRate  bool    // RateLimit is the group's: this instance takes the share of its partitions
	Workers    int     // calls in flight; at least 1
	MaxPending int     // decisions held, per lane; at least 1
	MaxBytes   int64   // bytes of their records, per lane; more than 0

	MaxAttempts      int           // attempts before retries_exhausted; at least 1
	Patience         time.Duration // since the first failure, before retries_exhausted; at least 0
	Guard            int           // dead letters in a row before a batch is held; 0: never
	WithoutWhoAmI    bool          // the API has no whoami to ask
	BackoffMin       time.Duration // maximum wait before the first retry; more than 0
	BackoffMax       time.Duration // maximum wait before any retry; at least BackoffMin
	BackfillMinShare float64       // of the calls, for backfill while both lanes have work; 0 to below 1
	Preflight        decision.Preflight
	OnConflict       decision.OnConflict
	ProfileOutcome   bool // results carry the outcome of their profile

	Tracing Tracing // zero: no spans

	// Stopped is called with each batch that is held by itself, and must not wait. Optional;
	// nil: only this instance holds it.
	Stopped func(Stop)

	// ReloadKey reads the API key again from its file, while the key is refused.
	// Optional; nil: the key can't change.
	ReloadKey func() error
}

func (o *Options) validate() error {
	switch {
	case o.API == nil || o.Publisher == nil || o.Metrics == nil || o.Logger == nil || o.Decode == nil:
		return errors.New("processor: API, Publisher, Metrics, Logger and Decode must be set")
	case o.Results == "" || o.DeadLetters == "":
		return errors.New("processor: Results and DeadLetters must be set")
	case o.RateLimit < 0 || o.Burst < 1 || o.Workers < 1 || o.MaxAttempts < 1 || o.MaxPending < 1 || o.MaxBytes < 1:
		return errors.New("processor: RateLimit must be at least 0; Burst, Workers, MaxAttempts, MaxPending and MaxBytes at least 1")
	case o.Patience < 0 || o.Guard < 0:
		return errors.New("processor: Patience and Guard must be at least 0")
	case o.BackoffMin <= 0 || o.BackoffMax < o.BackoffMin:
		return errors.New("processor: BackoffMin must be more than 0, and BackoffMax at least BackoffMin")
	case o.BackfillMinShare < 0 || o.BackfillMinShare >= 1:
		return errors.New("processor: BackfillMinShare must be at least 0 and below 1")
	case o.Preflight == "" || o.OnConflict == "":
		return errors.New("processor: Preflight and OnConflict must be set")
	}
	return nil
}

// Processor is the dispatcher with its workers.
type Processor struct {
	*owner
	opts   Options
	log    *slog.Logger
	tokens *tokens
	retry  retry.Policy

	work    chan assignment // from the dispatcher to workers; size 0: a send means that a worker has it
	running sync.WaitGroup
	life    context.Context // of Run; set before any goroutine starts

	// What acts on the machines' answers, each with a part of the work.
	dispatcher dispatcher
	settler    settler
	reviewer   reviewer
	outages    outages
	lists      lister
	throttle   throttle
	parker     parker
	orderer    orderer
	letters    letterLog
	calls      callCounter
}

// New returns a Processor. It does nothing before Run.
func New(opts Options) (*Processor, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if opts.ReloadKey == nil {
		opts.ReloadKey = func() error { return nil }
	}
	p := &Processor{
		opts:   opts,
		log:    opts.Logger,
		tokens: newTokens(opts.RateLimit, opts.Burst, opts.Metrics),
		retry:  retry.Policy{Min: opts.BackoffMin, Max: opts.BackoffMax},
		work:   make(chan assignment),
	}
	p.owner = newOwner(&p.opts)
	p.calls.began = time.Now()
	p.dispatcher, p.settler, p.reviewer, p.outages = dispatcher{p}, settler{p}, reviewer{p}, outages{p}
	p.lists, p.parker, p.orderer, p.throttle.p = lister{p}, parker{p}, orderer{p}, p
	if !opts.GroupRate {
		p.tokens.setShare(1)
	}
	opts.Metrics.OldestUnsettled.From(p.oldest)
	return p, nil
}

// Run dispatches until ctx ends. Calls that are in flight then are aborted, so drain
// first what is to be finished. It returns when all that it started has ended.
func (p *Processor) Run(ctx context.Context) {
	p.life = ctx
	for range p.opts.Workers {
		p.running.Go(func() {
			for w := range p.work {
				w.run(ctx)
			}
		})
	}
	if p.opts.ProfileOutcome {
		p.running.Go(func() { p.reviewer.watch(ctx) })
	}
	p.running.Go(func() { p.outages.watch(ctx) })
	p.running.Go(func() { p.orderer.run(ctx) })
	for _, lane := range decision.Lanes {
		p.running.Go(func() { p.parker.run(ctx, lane) })
	}
	p.running.Go(func() {
		defer close(p.work)
		p.dispatcher.run(ctx)
	})
	p.running.Wait()
}

// Assigned sets how many of the topics' partitions this instance owns: its share
// of the group's rate. It takes effect at once.
func (p *Processor) Assigned(owned, total int) {
	if p.opts.GroupRate && total > 0 {
		p.tokens.setShare(float64(owned) / float64(total))
	}
}

// Pause stops or resumes dispatching for a cause that others notice first: Kafka.
func (p *Processor) Pause(cause decision.PauseCause, on bool) {
	p.do(func(m *machines, _ time.Time) {
		was := m.pauses.set(cause, on)
		m.wants.dispatch = was && !on
	})
}

// Paused reports whether dispatching is paused for a cause.
func (p *Processor) Paused(cause decision.PauseCause) (on bool) {
	p.do(func(m *machines, _ time.Time) { on = m.pauses.on[cause] })
	return on
}

func (p *Processor) oldest(lane decision.Lane) (at time.Time) {
	p.do(func(m *machines, _ time.Time) { at = m.claims.oldest(lane) })
	return at
}
