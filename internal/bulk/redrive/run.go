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

const (
	// stopTimeout bounds the end of a run.
	stopTimeout = 30 * time.Second
	// commitEvery is the time between two commits of a run.
	commitEvery = time.Second
)

// Summary is what a run did.
type Summary struct {
	Redriven int64 // acknowledged
	Failed   int64 // refused by Kafka permanently
	Limited  bool  // Options.Limit left some
}

// Run sends back what Scan counts. If ctx ends, it waits a little for requests in flight
// and commits them; the next redrive sends the rest.
func (r *Redriver) Run(ctx context.Context) (Summary, error) {
	if err := r.checkpoint(ctx); err != nil {
		return Summary{}, err
	}
	run := &run{Redriver: r, limiter: rate.NewLimiter(rate.Inf, 1)}
	if r.options.Rate > 0 {
		run.limiter = rate.NewLimiter(rate.Limit(r.options.Rate), max(1, int(r.options.Rate/10)))
	}
	run.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client: r.options.Connection.Client(), MaxPendingBytes: 8 << 20, AlreadyStored: r.alreadyStored,
		OnHealthChange: func(err error) {
			if err != nil {
				r.options.Retrying(err)
			}
		},
	})
	err := r.readLetters(ctx, func(rec *decision.Record) error { return run.send(ctx, rec) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err = errors.Join(err, run.publisher.Close(last))
	err = errors.Join(err, run.commit(last))
	if err == nil {
		err = r.checkpoint(last)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return run.summary, err
}

// run is one call of Run.
type run struct {
	*Redriver
	publisher *broker.Publisher
	limiter   *rate.Limiter
	sent      int64
	read      int64
	summary   Summary
	committed time.Time

	// Written by the publisher's goroutines, taken by commit.
	mu           sync.Mutex
	acknowledged []decision.Position // dead letters that went back
	refused      []error             // permanent errors from Kafka
}

// send sends one dead letter back, if it is chosen.
func (r *run) send(ctx context.Context, rec *decision.Record) error {
	r.read++
	c, chosen := r.choose(rec)
	if !chosen || c.refused != nil || r.redriven.has(rec.Partition, rec.Offset) {
		return nil
	}
	if r.options.Limit > 0 && r.sent == r.options.Limit {
		r.summary.Limited = true
		return broker.ErrStopScan
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return err
	}
	if err := r.options.AwaitLock(ctx); err != nil {
		return err
	}
	letter := rec.Origin()
	err := r.publisher.Publish(ctx, c.copied, func(err error) {
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
	r.options.Progress(r.read, r.summary.Redriven)
	return r.commit(ctx)
}

// commit adds what was acknowledged to the set, and commits it.
func (r *run) commit(ctx context.Context) error {
	r.mu.Lock()
	acknowledged, refused := r.acknowledged, r.refused
	r.acknowledged, r.refused = nil, nil
	r.mu.Unlock()
	for _, letter := range acknowledged {
		r.redriven.add(letter.Partition, letter.Offset)
	}
	r.summary.Redriven += int64(len(acknowledged))
	r.summary.Failed += int64(len(refused))
	for _, err := range refused {
		r.options.Retrying(err)
	}
	return r.redriven.commit(ctx, r.options.Connection)
}
