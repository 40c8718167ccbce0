// Package processor carries decisions out. It owns the middle of a decision's
// life: queued behind the others of its task, chosen, called, tried again or
// not, and settled by a result or a dead letter. It keeps the order of a task,
// the rate of the group, and the peace of an API in trouble.
//
// Where decisions come from and where their offsets go is left to the Claim
// that each comes with; how records are published, to the Publisher. No Kafka
// type is known here.
package processor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// Publish takes a record over and calls done once: with nil when all
	// in-sync replicas have it, with an error that is decision.ErrTooLarge when
	// Kafka will never take it, with another when the publisher was closed. It
	// may wait for room, until ctx ends; an error means it was not taken.
	Publish(ctx context.Context, rec decision.Record, done func(error)) error
}

// Claim is the hold on the partition that a record came from.
type Claim interface {
	// Settle notes that the record at offset needs not be read again. It is a
	// no-op once the claim is lost.
	Settle(offset int64)
	// Attempted notes how far an unsettled decision got: the attempts spent, and
	// whether the last may have been carried out unseen.
	Attempted(offset int64, p decision.Progress)
}

// Options configure a Processor.
type Options struct {
	API       API
	Publisher Publisher
	Metrics   *metrics.Metrics
	Logger    *slog.Logger

	// Decode reads the decision in a record. It may wait for what it needs to
	// understand the record, until ctx ends; any other error is the record's own
	// fault and goes into its dead letter. Nil: decision.Decode.
	Decode func(ctx context.Context, rec *decision.Record) (decision.Decision, error)

	Instance    string // names this instance in dead letters
	Results     string // topic
	DeadLetters string // topic

	RateLimit  float64 // calls a second of the group (or of the instance, see GroupRate); 0: unlimited
	Burst      int     // calls at once, above the rate; 0: 10
	GroupRate  bool    // the limit is the group's: this instance takes the share of its partitions
	Workers    int     // calls in flight at most; 0: 64
	MaxPending int     // decisions held a lane; 0: 5000
	MaxBytes   int64   // bytes of them a lane; 0: 32 MiB

	MaxAttempts      int                 // attempts before retries_exhausted; 0: 8
	BackoffMin       time.Duration       // 0: 250ms
	BackoffMax       time.Duration       // 0: 1m
	BackfillMinShare float64             // of the calls, for backfill while both lanes wait; 0: none
	Preflight        decision.Preflight  // "": decision.PreflightRetry
	OnConflict       decision.OnConflict // "": decision.ConflictDeadLetter
	ProfileOutcome   bool                // results carry the outcome of their profile

	Tracing Tracing // zero: no spans

	// ReloadKey reads the API key again, where it comes from a file; called
	// while the key is refused. Nil: it can't change.
	ReloadKey func() error
}

func (o *Options) withDefaults() {
	o.Burst = cmp.Or(o.Burst, 10)
	o.Workers = cmp.Or(o.Workers, 64)
	o.MaxPending = cmp.Or(o.MaxPending, 5000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 32<<20)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 8)
	o.BackoffMin = cmp.Or(o.BackoffMin, 250*time.Millisecond)
	o.BackoffMax = cmp.Or(o.BackoffMax, time.Minute)
	o.Preflight = cmp.Or(o.Preflight, decision.PreflightRetry)
	o.OnConflict = cmp.Or(o.OnConflict, decision.ConflictDeadLetter)
	if o.Decode == nil {
		o.Decode = func(_ context.Context, rec *decision.Record) (decision.Decision, error) { return decision.Decode(rec) }
	}
	if o.ReloadKey == nil {
		o.ReloadKey = func() error { return nil }
	}
}

func (o *Options) validate() error {
	switch {
	case o.API == nil || o.Publisher == nil || o.Metrics == nil || o.Logger == nil:
		return errors.New("processor: API, Publisher, Metrics and Logger are needed")
	case o.Results == "" || o.DeadLetters == "":
		return errors.New("processor: Results and DeadLetters: missing")
	case o.RateLimit < 0 || o.Burst < 1 || o.Workers < 1 || o.MaxAttempts < 1:
		return errors.New("processor: RateLimit must be 0 or more; Burst, Workers and MaxAttempts 1 or more")
	case o.BackfillMinShare < 0 || o.BackfillMinShare >= 1:
		return errors.New("processor: BackfillMinShare: must be at least 0 and less than 1")
	}
	return nil
}

// Processor is the dispatcher with its workers.
type Processor struct {
	opts    Options
	log     *slog.Logger
	limiter *limiter
	breaker *breaker
	policy  retry.Policy
	auth    auth
	jobs    chan *job     // dispatcher to workers; size 0: a send means that a worker has it
	wake    chan struct{} // size 1: full means that the dispatcher will look anyway
	running sync.WaitGroup
	life    context.Context // of Run; set before any goroutine starts

	throttles    atomic.Int32 // 429s in a row that did not say how long to wait
	throttleTold atomic.Bool  // the log tells that the API asks to wait

	mu       sync.Mutex // guards what follows; short pure sections only
	queue    *queue
	claims   map[Claim]*hold
	recent   map[partition]*recent
	lookups  lookups
	profiles profiles
	paused   map[decision.PauseCause]bool
	room     [len(decision.Lanes)]chan struct{} // closed when a lane has room again; nil: nobody waits
	// inFlight are the jobs that a worker has, settling those that had a turn and
	// whose record is being published.
	inFlight [len(decision.Lanes)]int
	settling [len(decision.Lanes)]int
}

type partition struct {
	topic string
	id    int
}

// hold is what the processor knows of one claim.
type hold struct {
	ctx       context.Context // ends when its calls are to be given up
	cancel    context.CancelFunc
	active    int           // jobs in flight or settling, and records being taken over
	revoked   bool          // nothing of it may be begun any more
	idle      chan struct{} // closed at active == 0 once revoked
	unsettled unsettled     // its records, for the metric of the oldest
}

// New is a Processor. It does nothing before Run.
func New(opts Options) (*Processor, error) {
	opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	p := &Processor{
		opts:    opts,
		log:     opts.Logger,
		limiter: newLimiter(opts.RateLimit, opts.Burst, opts.Metrics),
		breaker: newBreaker(),
		policy:  retry.Policy{Min: opts.BackoffMin, Max: opts.BackoffMax},
		auth:    auth{turn: make(chan struct{}, 1)},
		jobs:    make(chan *job),
		wake:    make(chan struct{}, 1),
		queue:   newQueue(opts.BackfillMinShare),
		claims:  make(map[Claim]*hold),
		recent:  make(map[partition]*recent),
		lookups: newLookups(),
		paused:  make(map[decision.PauseCause]bool),
	}
	if opts.ProfileOutcome {
		p.queue.profiles = make(map[string]int)
		p.profiles = newProfiles()
	}
	if !opts.GroupRate {
		p.limiter.share(1)
	}
	opts.Metrics.OldestUnsettled.From(p.oldest)
	return p, nil
}

// Run dispatches until ctx ends; calls that are in flight then are given up, so
// what is to be finished has to be drained before. It returns when all that it
// started has ended.
func (p *Processor) Run(ctx context.Context) {
	p.life = ctx
	for range p.opts.Workers {
		p.running.Go(func() {
			for j := range p.jobs {
				p.work(ctx, j)
			}
		})
	}
	if p.opts.ProfileOutcome {
		p.running.Go(func() { p.watchProfiles(ctx) })
	}
	p.running.Go(func() {
		defer close(p.jobs)
		p.dispatch(ctx)
	})
	p.running.Wait()
}

// Assigned tells how many of the topics' partitions this instance owns: its
// share of the group's rate. It takes effect at once.
func (p *Processor) Assigned(owned, total int) {
	if p.opts.GroupRate && total > 0 {
		p.limiter.share(float64(owned) / float64(total))
	}
}

// Submit takes a record over: it is decoded and queued, or dead-lettered. It
// waits while its lane is full, and while Decode waits. An error means that it
// was not taken, because ctx ended.
func (p *Processor) Submit(ctx context.Context, lane decision.Lane, claim Claim, rec decision.Record, before decision.Progress) error {
	j := &job{
		lane: lane, claim: claim, rec: rec, size: int64(rec.Size()),
		received: time.Now(), Progress: before,
	}
	if err := p.admit(ctx, j); err != nil {
		return err
	}
	p.trace(j)
	var err error
	if j.dec, err = p.decode(ctx, &j.rec); err != nil {
		if ctx.Err() != nil {
			p.mu.Lock()
			p.leave(j) // it may not even have been understood; its next owner will read it
			p.mu.Unlock()
			return ctx.Err()
		}
		p.refuseInvalid(ctx, j, err)
		return nil
	}
	p.mu.Lock()
	if j.hold.revoked {
		p.leave(j) // drained meanwhile; its next owner will read it
		p.mu.Unlock()
		return nil
	}
	j.spans.waits()
	p.queue.add(j)
	p.deactivate(j.hold)
	p.profiles.changed()
	p.mu.Unlock()
	p.nudge()
	return nil
}

// refuseInvalid ends a record that is no decision.
func (p *Processor) refuseInvalid(ctx context.Context, j *job, err error) {
	defer func() { p.rescue(j, recover()) }()
	letter := deadLetter{reason: decision.InvalidEvent, err: err}
	j.instead = func(ctx context.Context) { p.deadLetter(ctx, j, letter) }
	p.deadLetter(ctx, j, letter)
}

// decode is Options.Decode, where a panic is a fault of that record alone.
func (p *Processor) decode(ctx context.Context, rec *decision.Record) (d decision.Decision, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return p.opts.Decode(ctx, rec)
}

// admit waits for room in the job's lane, and counts it in.
func (p *Processor) admit(ctx context.Context, j *job) error {
	for {
		p.mu.Lock()
		// Under the lock: ctx ends before Drain begins, so what comes after Drain
		// finds it ended, and what came before is seen by Drain.
		if err := ctx.Err(); err != nil {
			p.mu.Unlock()
			return err
		}
		h := p.holdOf(j.claim)
		if p.queue.admit(j, p.opts.MaxPending, p.opts.MaxBytes) {
			j.hold = h
			h.active++
			h.unsettled.add(j)
			p.opts.Metrics.Pending.WithLabelValues(j.lane.String()).Set(float64(p.queue.lanes[j.lane].pending))
			p.mu.Unlock()
			return nil
		}
		if p.room[j.lane] == nil {
			p.room[j.lane] = make(chan struct{})
		}
		room := p.room[j.lane]
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// holdOf is the hold on a claim, begun with its first record. Under mu.
func (p *Processor) holdOf(claim Claim) *hold {
	h := p.claims[claim]
	if h == nil {
		ctx, cancel := context.WithCancel(context.Background())
		h = &hold{ctx: ctx, cancel: cancel}
		p.claims[claim] = h
	}
	return h
}

// leave forgets a job that was admitted: it is settled, or given up. Under mu.
func (p *Processor) leave(j *job) {
	j.spans.end()
	p.let(j)
	p.queue.leave(j)
	j.hold.unsettled.remove(j)
	p.opts.Metrics.Pending.WithLabelValues(j.lane.String()).Set(float64(p.queue.lanes[j.lane].pending))
	if room := p.room[j.lane]; room != nil {
		close(room)
		p.room[j.lane] = nil
	}
	p.deactivate(j.hold)
}

// deactivate ends the activity of one job of a hold. Under mu.
func (p *Processor) deactivate(h *hold) {
	h.active--
	if h.active == 0 && h.revoked {
		close(h.idle)
	}
}

// Drain gives up what of these claims is not begun. The ctx of every Submit with
// one of them must have ended before. It returns when the rest is
// settled; when ctx ends first, the calls in flight are aborted, and what they
// may have done unseen is noted with the claim.
func (p *Processor) Drain(ctx context.Context, claims []Claim) {
	var holds []*hold
	p.mu.Lock()
	for _, claim := range claims {
		h := p.holdOf(claim)
		h.revoked, h.idle = true, make(chan struct{})
		h.active++ // until what waits is given up, so that idle is closed once
		holds = append(holds, h)
		delete(p.claims, claim)
	}
	for _, j := range p.queue.remove(func(j *job) bool { return j.hold.revoked }) {
		j.hold.active++ // leave takes it back
		p.leave(j)
	}
	for _, h := range holds {
		p.deactivate(h)
	}
	p.profiles.changed()
	p.mu.Unlock()
	p.nudge()

	for _, h := range holds {
		select {
		case <-h.idle:
		case <-ctx.Done():
		}
	}
	for _, h := range holds {
		h.cancel()
	}
	if ctx.Err() == nil {
		return
	}
	p.flushProfiles()
	// Aborted calls come back at once. Only a record that Kafka does not
	// acknowledge may take longer, and its settle will be a no-op.
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	for _, h := range holds {
		select {
		case <-h.idle:
		case <-grace.C:
			return
		}
	}
}

// nudge makes the dispatcher look at the state anew.
func (p *Processor) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Pause stops or resumes dispatching for a cause that others see first: Kafka.
func (p *Processor) Pause(cause decision.PauseCause, on bool) {
	p.mu.Lock()
	was := p.paused[cause]
	p.paused[cause] = on
	if was != on { // under the lock, so that the gauge says what was set last
		p.opts.Metrics.Paused.WithLabelValues(string(cause)).Set(map[bool]float64{true: 1}[on])
	}
	p.mu.Unlock()
	if was && !on {
		p.nudge()
	}
}

// Paused says whether dispatching is paused for a cause.
func (p *Processor) Paused(cause decision.PauseCause) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused[cause]
}
