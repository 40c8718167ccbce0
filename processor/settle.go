package processor

import (
	"context"
	"errors"
	"time"

	"verdict/internal/decision"
	"verdict/metrics"
)

// settler ends decisions: it publishes their result or dead letter and settles
// them only once Kafka has acknowledged it. Until then a decision keeps its task,
// but no worker.
type settler struct{ p *Processor }

// ending is how a decision ends: the record that says so, and what is counted
// once Kafka has it.
type ending struct {
	rec     decision.Record
	outcome decision.Outcome
	reason  decision.Reason // of a dead letter
	taskID  string          // of a result
	// smaller, if set, returns a record that says the same in less, for when Kafka
	// refuses rec as too large.
	smaller func() decision.Record
}

// result ends a decision with a result, now or after the review of its profile.
func (s settler) result(ctx context.Context, j *job, r success) {
	if r.called {
		j.Attempts++
	}
	if r.taskID == "" {
		r.taskID = j.Task.TaskID
	}
	d := &j.dec
	wire := decision.Result{
		DecisionID: d.ID, DecisionKey: j.identity.String(), ProfileID: d.Task.ProfileID, TaskID: r.taskID, State: d.State,
		Outcome: r.outcome, Attempts: j.Attempts, HTTPStatus: r.status, Task: r.task,
		DecidedAt: d.DecidedAt, ReceivedAt: decision.Time{Time: j.received}, CompletedAt: decision.Time{Time: time.Now()},
		Source: d.Source, Reason: d.Reason, BatchID: d.BatchID, EditedBy: decision.EditedBy(&j.rec), Origin: j.rec.Origin(),
	}
	if s.p.opts.ProfileOutcome && s.p.reviewer.keep(j, &wire, r.called) {
		return
	}
	s.publishResult(ctx, j, &wire)
}

func (s settler) publishResult(ctx context.Context, j *job, wire *decision.Result) {
	s.settle(ctx, j, ending{
		rec: wire.Encode(s.p.opts.Results, j.rec.Key), outcome: wire.Outcome, taskID: wire.TaskID,
		smaller: func() decision.Record {
			wire.Task = nil
			return wire.Encode(s.p.opts.Results, j.rec.Key)
		},
	})
}

// deadLetter ends a decision, or a record that is not one, with a dead letter.
func (s settler) deadLetter(ctx context.Context, j *job, r refusal) {
	letter := decision.DeadLetter{
		Reason: r.reason, HTTPStatus: r.status, Attempts: j.Attempts,
		DecisionID: j.dec.ID, DecisionKey: j.identity.String(), FailedAt: decision.Time{Time: time.Now()}, Instance: s.p.opts.Instance,
	}
	if r.err != nil {
		letter.Error = r.err.Error()
	}
	rec := letter.Encode(s.p.opts.DeadLetters, &j.rec)
	s.settle(ctx, j, ending{
		rec: rec, outcome: decision.DeadLettered, reason: r.reason,
		smaller: func() decision.Record { return decision.WithoutValue(rec) },
	})
}

// withoutCall settles a decision without a call. A panic affects that decision
// alone.
func (s settler) withoutCall(ctx context.Context, j *job, settle func(context.Context)) {
	defer func() { s.p.rescue(j, recover()) }()
	settle(ctx)
}

func (s settler) settle(ctx context.Context, j *job, e ending) {
	s.p.do(func(m *machines, _ time.Time) {
		m.load.endWork(j)
		j.ending, j.shown = true, j.Attempts
		// A record that was never queued made no call: publishing it again after a
		// crash costs the API nothing, and a million of them must not keep others from
		// their calls. Its lane's room bounds it.
		if j.Queued() {
			m.load.startSettling(j)
		}
		m.wants.dispatch = true
	})
	s.publish(ctx, j, e)
}

func (s settler) publish(ctx context.Context, j *job, e ending) {
	err := s.p.opts.Publisher.Publish(ctx, j.publishing(&e), func(err error) { s.published(ctx, j, e, err) })
	if err != nil {
		s.published(ctx, j, e, err)
	}
}

// published handles the publisher's answer, on one of the publisher's goroutines.
func (s settler) published(ctx context.Context, j *job, e ending, err error) {
	p := s.p
	defer func() { p.rescue(j, recover()) }()
	j.spans.published(err)
	switch {
	case err == nil:
		// From here on it is not published again, whatever fails.
		j.settleWith = func(context.Context) { s.acknowledged(j, e) }
		s.acknowledged(j, e)
		return
	case errors.Is(err, decision.ErrTooLarge) && e.smaller != nil:
		p.log.Warn("Kafka refuses the record as too large; publishing it without its body (raise the topic's max.message.bytes)",
			"topic", e.rec.Topic, "decision_id", j.dec.ID, "origin", j.origin(), "bytes", e.rec.Size())
		e.rec, e.smaller = e.smaller(), nil
		// Not from the publisher's own goroutine, whose queue may be full.
		p.running.Go(func() {
			defer func() { p.rescue(j, recover()) }()
			s.publish(ctx, j, e)
		})
		return
	case errors.Is(err, decision.ErrTooLarge):
		s.publishLater(j, e)
		return
	}
	s.dismiss(j, e, false)
}

// refusedRetry is how often a record is published again that Kafka refuses at its smallest.
const refusedRetry = time.Minute

// publishLater keeps a decision whose record Kafka refuses at its smallest, until somebody
// lets the topic take it.
func (s settler) publishLater(j *job, e ending) {
	p := s.p
	j.settleWith = func(ctx context.Context) { s.settle(ctx, j, e) } // no second call
	if j.Attempts > 0 {
		j.claim.Attempted(j.rec.Offset, decision.Progress{Attempts: j.Attempts, MaybeApplied: true})
	}
	p.do(func(m *machines, now time.Time) {
		m.putBack(j, now.Add(refusedRetry))
		if unlogged, ok := m.refusals.take(now); ok {
			m.say(func() {
				p.log.Error("Kafka refuses even the smallest record as too large; publishing it again every minute (raise the topic's max.message.bytes)",
					"topic", e.rec.Topic, "decision_id", j.dec.ID, "origin", j.origin(), "unlogged", unlogged)
			})
		}
	})
}

// acknowledged settles a decision whose record Kafka has.
func (s settler) acknowledged(j *job, e ending) {
	j.claim.Settle(j.rec.Offset)
	j.spans.settled(j, &e)
	if s.dismiss(j, e, true) {
		s.p.reportReuse(j)
	}
	s.count(j, e)
	if e.reason != "" {
		s.logLetter(j, e)
	}
}

// logLetter logs a dead letter, if it is its reason's turn. Why exactly is in the
// letter alone, since the API's answer may name people.
func (s settler) logLetter(j *job, e ending) {
	if n := s.p.letters.add(e.reason, time.Now()); n > 0 {
		s.p.log.Warn("decision dead-lettered", "reason", string(e.reason), "decision_id", j.dec.ID, "origin", j.origin(),
			"attempts", j.Attempts, "dead_letters", n)
	}
}

// dismiss lets go of a decision: it is settled, or left to its next owner. reused
// reports that its ID was another decision's before.
func (s settler) dismiss(j *job, e ending, settled bool) (reused bool) {
	s.p.do(func(m *machines, _ time.Time) {
		j.gone = true
		if settled {
			reused = m.remember(j, &e)
			m.stopsAt(j, &e)
		}
		m.giveUp(j)
	})
	return reused
}

func (s settler) count(j *job, e ending) {
	m, lane := s.p.opts.Metrics, j.Lane.String()
	m.Decisions.WithLabelValues(lane, string(e.outcome)).Inc()
	if e.reason != "" {
		m.DeadLetters.WithLabelValues(lane, string(e.reason)).Inc()
	}
	if !j.rec.Time.IsZero() {
		metrics.Observe(m.DecisionDuration.WithLabelValues(lane), max(time.Since(j.rec.Time).Seconds(), 0), j.trace.Parent)
	}
}
