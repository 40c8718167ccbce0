package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/metrics"
)

// ending is how a decision ends: the record that says so, and what is counted
// once Kafka has it.
type ending struct {
	rec     decision.Record
	outcome decision.Outcome
	reason  decision.Reason // of a dead letter
	// smaller makes a record that says the same in less, for when Kafka refuses
	// rec as too large; nil: there is none.
	smaller func() decision.Record
}

// result ends a decision with a result.
func (p *Processor) result(ctx context.Context, j *job, r result) {
	if r.called {
		j.Attempts++
		p.throttles.Store(0)
	}
	d := &j.dec
	wire := decision.Result{
		DecisionID: d.ID, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State,
		Outcome: r.outcome, Attempts: j.Attempts, HTTPStatus: r.status, Task: r.task,
		DecidedAt: d.DecidedAt, ReceivedAt: decision.Time{Time: j.received}, CompletedAt: decision.Time{Time: time.Now()},
		Source: d.Source, Reason: d.Reason, BatchID: d.BatchID, Origin: j.rec.Origin(),
	}
	if p.holds(j, &wire, r.called) {
		return
	}
	p.publishResult(ctx, j, &wire)
}

func (p *Processor) publishResult(ctx context.Context, j *job, wire *decision.Result) {
	p.settle(ctx, j, ending{
		rec: wire.Record(p.opts.Results, j.rec.Key), outcome: wire.Outcome,
		smaller: func() decision.Record {
			wire.Task = nil
			return wire.Record(p.opts.Results, j.rec.Key)
		},
	})
}

// deadLetter ends a decision, or a record that is none, with a dead letter.
func (p *Processor) deadLetter(ctx context.Context, j *job, d deadLetter) {
	if d.called {
		j.Attempts++
	}
	letter := decision.DeadLetter{
		Reason: d.reason, Error: d.says(), HTTPStatus: d.status, Attempts: j.Attempts,
		DecisionID: j.dec.ID, FailedAt: decision.Time{Time: time.Now()}, Instance: p.opts.Instance,
	}
	rec := letter.Record(p.opts.DeadLetters, &j.rec)
	p.settle(ctx, j, ending{
		rec: rec, outcome: decision.DeadLettered, reason: d.reason,
		smaller: func() decision.Record { return decision.WithoutValue(rec) },
	})
}

// settle publishes how a decision ends, and settles it when Kafka has that
// acknowledged: not before. Until then the decision keeps its task, but no
// worker.
func (p *Processor) settle(ctx context.Context, j *job, e ending) {
	p.mu.Lock()
	if j.working {
		p.handBack(j)
	}
	// What never had a turn made no call: to publish it again after a crash costs
	// the API nothing, and a million of such must not keep others from theirs.
	// Its lane's room bounds it.
	if j.task != nil {
		p.countSettling(j)
	}
	p.mu.Unlock()
	p.nudge()
	p.publish(ctx, j, e)
}

// countSettling counts a job among those that wait for Kafka, once. Under mu.
func (p *Processor) countSettling(j *job) {
	if !j.settling {
		p.settling[j.lane]++
		j.settling = true
	}
}

func (p *Processor) publish(ctx context.Context, j *job, e ending) {
	err := p.opts.Publisher.Publish(ctx, j.publishing(&e), func(err error) { p.published(ctx, j, e, err) })
	if err != nil {
		p.published(ctx, j, e, err)
	}
}

// published is told what became of the record, by a goroutine of the
// publisher's.
func (p *Processor) published(ctx context.Context, j *job, e ending, err error) {
	defer func() { p.rescue(j, recover()) }()
	j.spans.published(err)
	switch {
	case err == nil:
		// From here on it is not published again, whatever fails.
		j.instead = func(context.Context) { p.acknowledged(j, e) }
		p.acknowledged(j, e)
		return
	case errors.Is(err, decision.ErrTooLarge) && e.smaller != nil:
		p.log.Warn("Kafka refuses the record as too large; publishing it without its body (raise the topic's max.message.bytes)",
			"topic", e.rec.Topic, "decision_id", j.dec.ID, "origin", j.rec.Origin().String(), "bytes", e.rec.Size())
		e.rec, e.smaller = e.smaller(), nil
		// Not from the publisher's own goroutine, whose queue may be full.
		p.running.Go(func() {
			defer func() { p.rescue(j, recover()) }()
			p.publish(ctx, j, e)
		})
		return
	case errors.Is(err, decision.ErrTooLarge):
		p.log.Error("Kafka refuses even the smallest record as too large; the decision stays unsettled and will be read again (raise the topic's max.message.bytes)",
			"topic", e.rec.Topic, "decision_id", j.dec.ID, "origin", j.rec.Origin().String())
	}
	p.dismiss(j, false)
}

// acknowledged settles a decision whose record Kafka has.
func (p *Processor) acknowledged(j *job, e ending) {
	j.claim.Settle(j.rec.Offset)
	j.spans.settled(j, &e)
	p.dismiss(j, e.reason == "")
	p.count(j, e)
}

// dismiss lets go of a decision whose way ends here. remember: it has a result.
func (p *Processor) dismiss(j *job, remember bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.gone = true
	switch {
	case j.working: // settled at last, after a panic
		p.handBack(j)
	case j.settling:
		j.settling = false
		p.settling[j.lane]--
	}
	if remember {
		p.remember(j)
	}
	if j.task != nil {
		p.queue.done(j)
	}
	p.leave(j)
	p.nudge()
}

func (p *Processor) count(j *job, e ending) {
	lane := j.lane.String()
	p.opts.Metrics.Decisions.WithLabelValues(lane, string(e.outcome)).Inc()
	if e.reason != "" {
		p.opts.Metrics.DeadLetters.WithLabelValues(lane, string(e.reason)).Inc()
	}
	if !j.rec.Time.IsZero() {
		metrics.Observe(p.opts.Metrics.DecisionDuration.WithLabelValues(lane), max(time.Since(j.rec.Time).Seconds(), 0), j.traceparent)
	}
}
