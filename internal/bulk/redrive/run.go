package redrive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// Redriven says what a run did.
type Summary struct {
	Redriven int64 // acknowledged
	Failed   int64 // that Kafka refuses for good
	Limited  bool  // Limit left some
}

// Run sends back what Survey counted. If ctx ends, what is under way is waited for a
// little, and committed; the same redrive goes on from there later.
func (r *Redriver) Run(ctx context.Context) (Summary, error) {
	if err := r.checkpoint(ctx); err != nil {
		return Summary{}, err
	}
	run := &run{Redriver: r, limiter: rate.NewLimiter(rate.Inf, 1)}
	if r.o.Rate > 0 {
		run.limiter = rate.NewLimiter(rate.Limit(r.o.Rate), max(1, int(r.o.Rate/10)))
	}
	run.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: r.o.Connection.Client(), MaxPendingBytes: 8 << 20, Landed: r.alreadyStored,
		OnState: func(failing bool, err error) {
			if failing {
				r.o.Retrying(err)
			}
		},
	})
	err := r.readLetters(ctx, func(rec *decision.Record) error { return run.send(ctx, rec) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	err = errors.Join(err, run.publisher.Close(last))
	err = errors.Join(err, run.commit(last))
	if err == nil {
		err = r.checkpoint(last)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return Summary{Redriven: run.redriven, Failed: run.failed, Limited: run.limited}, err
}

// lastAnswers is how long the end of a run may take.
const lastAnswers = 30 * time.Second

// commitEvery is the time between two commits of a run.
const commitEvery = time.Second

// run is one Run.
type run struct {
	*Redriver
	publisher *broker.Publisher
	limiter   *rate.Limiter
	sent      int64
	looked    int64
	redriven  int64
	failed    int64
	limited   bool
	committed time.Time

	mu           sync.Mutex
	acknowledged []decision.Origin // not taken into the set yet
	refused      []error           // by Kafka, for good
}

// send sends one dead letter back, if it is chosen.
func (r *run) send(ctx context.Context, rec *decision.Record) error {
	r.looked++
	_, back, refused, chosen := r.choose(rec)
	if !chosen || refused != nil || r.set.has(rec.Partition, rec.Offset) {
		return nil
	}
	if r.o.Limit > 0 && r.sent == r.o.Limit {
		r.limited = true
		return broker.ErrStopScan
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return err
	}
	if err := r.o.AwaitLock(ctx); err != nil {
		return err
	}
	letter := rec.Origin()
	err := r.publisher.Publish(ctx, back, func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err == nil:
			r.acknowledged = append(r.acknowledged, letter)
		case !errors.Is(err, broker.ErrPublisherClosed):
			r.refused = append(r.refused, fmt.Errorf("%s: %w", letter, err))
		}
	})
	if err != nil {
		return err
	}
	r.sent++
	if time.Since(r.committed) < commitEvery {
		return nil
	}
	r.committed = time.Now()
	r.o.Progress(r.looked, r.redriven)
	return r.commit(ctx)
}

// commit takes what was acknowledged into the set, and commits it.
func (r *run) commit(ctx context.Context) error {
	r.mu.Lock()
	acknowledged, refused := r.acknowledged, r.refused
	r.acknowledged, r.refused = nil, nil
	r.mu.Unlock()
	for _, letter := range acknowledged {
		r.set.add(letter.Partition, letter.Offset)
	}
	r.redriven += int64(len(acknowledged))
	r.failed += int64(len(refused))
	for _, err := range refused {
		r.o.Retrying(err)
	}
	return r.set.commit(ctx, r.o.Connection)
}
