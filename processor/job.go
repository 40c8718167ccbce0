package processor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/processor/health"
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
	run      string // of Verdict that wrote the record; empty: none is known

	group  health.Group // that the guard judges it with
	line   queue.Line   // that it counts in, see queue.Parking
	inLine bool         // it does

	older, newer *job // beside it among the unsettled records of its claim
	shown        int  // its attempts when its worker got it, or when it ended
	ending       bool // its result or dead letter is being published

	trace decision.Trace // sent with its calls and its result
	spans *spans         // nil: it is not traced

	// The fields below are written by whoever has the job: an event, or the one worker
	// that it was given to.
	decision.Progress
	triedAt   time.Time           // when its latest attempt began; zero: there was none here
	failedAt  time.Time           // when it failed first here; zero: it did not
	alone     int                 // its failed attempts here before which nothing else was completed since the one before
	refused   decision.Reason     // for which its latest attempts were refused; empty: the latest was not
	refusedAt time.Time           // when the first of those ended
	held      bool                // it waits because its group is held; see health.Guard
	probe     bool                // it may go although its group is held
	cause     decision.RetryCause // of its latest attempt's failure; empty: it did not fail
	working   bool                // a worker has it, or the dispatcher on its behalf
	settling  bool                // it is counted as waiting for Kafka's acknowledgement
	gone      bool                // it is settled
	panics    int                 // outside of its calls

	// settleWith, if set, replaces the API call. It is set after a panic, once
	// the decision needs no further call.
	settleWith func(ctx context.Context)

	listedAt  time.Time // when the list that names its task was asked for; zero: no list was
	relisted  bool      // a newer list was asked for after its task was gone
	yetListed bool      // and that list still has its task
	repeat    bool      // it was settled before, and another decision on its task since: look first
	reviewed  bool      // its call is done, and its result was held for the profile's review
}

// keyed reports whether the decision names its task by alias or type.
func (j *job) keyed() bool { return j.dec.Key != decision.Key{} }

// untried reports whether no attempt was made at the decision, here or by an
// earlier owner. A
// 429 is not counted, and was an attempt all the same.
func (j *job) untried() bool { return j.Attempts == 0 && j.triedAt.IsZero() }

// jobOf returns the job that embeds an item.
func jobOf(i *queue.Item) *job { return i.Owner.(*job) }

// since returns the timestamp of the record or, if it has none, when it was received.
func (j *job) since() time.Time {
	if j.rec.Time.IsZero() {
		return j.received
	}
	return j.rec.Time
}

// origin names the job's record in the log.
func (j *job) origin() string { return j.rec.Origin().String() }

// context returns the context of the job's calls: it ends with the hold, and
// carries the trace that the calls belong to.
func (j *job) context() context.Context {
	switch {
	case j.spans != nil:
		return trace.ContextWithSpan(j.hold.ctx, j.spans.whole)
	case j.trace.Parent != "":
		return passfort.WithTrace(j.hold.ctx, j.trace)
	}
	return j.hold.ctx
}
