package processor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/processor/queue"
)

// job is a decision on its way through the processor, with its record:
//
//	            ┌──────────────── retry: delayed ◄───────────────┐
//	            ▼                                                │
//	admitted ─► waiting ─► ready ─► working (a worker has it) ─► settling ─► gone
//	            (behind its task)                                (publishing)
type job struct {
	queue.Item
	claim    Claim
	hold     *hold
	rec      decision.Record
	dec      decision.Decision // as it was read; the task that it is about is Item.Task
	identity decision.Identity // of dec; zero: the record could not be read as a decision
	size     int64             // of rec, in bytes
	received time.Time

	older, newer *job // beside it among the unsettled records of its claim; under Processor.mu
	shown        int  // its attempts when its worker got it, or when it ended; under Processor.mu
	ending       bool // its result or dead letter is being published; under Processor.mu

	traceparent string // sent with its calls and its result; "": none
	spans       *spans // nil: it is not traced

	// The fields below are written by whoever has the job: the queue's owner
	// under Processor.mu, or the one worker that it was given to.
	decision.Progress
	triedAt  time.Time           // when its latest attempt began; zero: there was none here
	outage   uint64              // how many outages began before its latest attempts
	spent    int                 // of its attempts, those since that outage
	cause    decision.RetryCause // of its latest attempt's failure; empty: it did not fail
	working  bool                // a worker has it, or the dispatcher on its behalf
	settling bool                // it is counted as waiting for Kafka's acknowledgement
	gone     bool                // it is settled
	panics   int                 // outside of its calls

	// settleWith, if set, replaces the API call. It is set after a panic, once
	// the decision needs no further call.
	settleWith func(ctx context.Context)

	listedAt time.Time // when the list that names its task was asked for; zero: no list was
	relisted bool      // a newer list was asked for after its task was gone
	repeat   bool      // it was settled before, and another decision on its task since: look first
	reviewed bool      // its call is done, and its result was held for the profile's review
}

// keyed reports whether the decision names its task by alias or type.
func (j *job) keyed() bool { return j.dec.Key != decision.Key{} }

// untried reports whether no attempt was made at the decision, here or by an
// earlier owner. Attempts that are given back after an outage were made all the
// same.
func (j *job) untried() bool { return j.Attempts == 0 && j.triedAt.IsZero() }

// jobOf returns the job that embeds an item.
func jobOf(i *queue.Item) *job { return i.Owner.(*job) }

// origin names the job's record in the log.
func (j *job) origin() string { return j.rec.Origin().String() }

// context returns the context of the job's calls: it ends with the hold, and
// carries the trace that the calls belong to.
func (j *job) context() context.Context {
	switch {
	case j.spans != nil:
		return trace.ContextWithSpan(j.hold.ctx, j.spans.whole)
	case j.traceparent != "":
		return passfort.WithTraceparent(j.hold.ctx, j.traceparent)
	}
	return j.hold.ctx
}
