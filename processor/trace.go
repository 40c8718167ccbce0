package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Tracing says where the spans of decisions go, and how they describe this
// service. Without a Tracer there are none, and a decision's trace is
// passed on unchanged.
type Tracing struct {
	Tracer trace.Tracer
	Group  string // the consumer group
	Server string // host of the API
	Port   int    // of the API
}

// spans is what a trace shows of one decision:
//
//	process TOPIC ────────────────────────────────────────► settled, or given up
//	└ wait ┘└ POST /profiles/… ┘└ wait ┘└ POST … ┘   └ send TOPIC ┘
//
// A nil *spans is a decision that is not traced: its methods do nothing. The spans
// belong to whoever has the job.
type spans struct {
	tracing *Tracing
	ctx     context.Context // of whole
	whole   trace.Span
	wait    trace.Span // until it is chosen; nil: it is not waiting
	send    trace.Span // until its record is acknowledged; nil: it is not being published
}

// begin starts the spans of a decision, within the trace that its record names.
func (t *Tracing) begin(j *job) {
	j.trace = decision.TraceOf(j.rec.Headers)
	if t.Tracer == nil {
		return
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{
		decision.HeaderTraceparent: j.trace.Parent, decision.HeaderTracestate: j.trace.State,
	})
	ctx, whole := t.Tracer.Start(ctx, "process "+j.rec.Topic, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(j.received),
		trace.WithAttributes(
			semconv.MessagingSystemKafka,
			semconv.MessagingOperationName("process"),
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationName(j.rec.Topic),
			semconv.MessagingDestinationPartitionID(strconv.Itoa(j.rec.Partition)),
			semconv.MessagingKafkaOffset(int(j.rec.Offset)),
			semconv.MessagingConsumerGroupName(t.Group),
			attribute.String("verdict.lane", j.Lane.String()),
		))
	j.spans = &spans{tracing: t, ctx: ctx, whole: whole}
	j.trace = traceOf(whole)
}

// traceOf returns a span's context as headers.
func traceOf(s trace.Span) decision.Trace {
	c := s.SpanContext()
	return decision.Trace{Parent: fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags()), State: c.TraceState().String()}
}

// waits notes that the decision waits for its turn from now on.
func (s *spans) waits() {
	if s == nil || s.wait != nil {
		return
	}
	_, s.wait = s.tracing.Tracer.Start(s.ctx, "wait")
}

// chosen notes that it is the decision's turn.
func (s *spans) chosen() {
	if s == nil || s.wait == nil {
		return
	}
	s.wait.End()
	s.wait = nil
}

// publishing notes that the decision's record is handed to the publisher, and
// returns the record to hand over: a result names the trace. A dead letter has the
// headers of its record, and so that record's own trace.
func (j *job) publishing(e *ending) decision.Record {
	rec, parent := e.rec, j.trace
	if s := j.spans; s != nil {
		_, s.send = s.tracing.Tracer.Start(s.ctx, "send "+rec.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			semconv.MessagingSystemKafka,
			semconv.MessagingOperationName("send"),
			semconv.MessagingOperationTypeSend,
			semconv.MessagingDestinationName(rec.Topic),
		))
		parent = traceOf(s.send)
	}
	if e.reason == "" {
		rec.Headers = append(slices.Clip(rec.Headers), parent.Headers()...)
	}
	return rec
}

// published notes whether the record was acknowledged.
func (s *spans) published(err error) {
	if s == nil || s.send == nil {
		return
	}
	if err != nil {
		fail(s.send, "publish", err)
	}
	s.send.End()
	s.send = nil
}

// settled notes how the decision was settled.
func (s *spans) settled(j *job, e *ending) {
	if s == nil {
		return
	}
	s.whole.SetAttributes(
		attribute.String("verdict.decision_id", j.dec.ID),
		attribute.String("verdict.outcome", string(e.outcome)),
		attribute.Int("verdict.attempts", j.Attempts),
	)
	if e.reason != "" {
		s.whole.SetAttributes(attribute.String("verdict.reason", string(e.reason)))
		s.whole.SetStatus(codes.Error, string(e.reason))
	}
}

// end ends all spans of the decision, settled or not.
func (s *spans) end() {
	if s == nil {
		return
	}
	s.chosen()
	s.published(nil)
	s.whole.End()
}

// fail marks a span as failed.
func fail(s trace.Span, class string, err error) {
	s.SetAttributes(semconv.ErrorTypeKey.String(class))
	s.SetStatus(codes.Error, decision.OneLine(plain(err), decision.MaxErrorSize))
}

// plain returns an error's text without what the API answered, which may name people.
// A log needs no such help: slog asks the error itself.
func plain(err error) string {
	if e, ok := errors.AsType[*passfort.Error](err); ok {
		return e.Summary()
	}
	return err.Error()
}

// beginCall follows one call to the API. It returns the context to make the call
// with, and the span; nil: there is none, as for whoami, which is no decision's. Only the URL's
// template is shown: the whole URL would identify a person's profile.
func (t *Tracing) beginCall(ctx context.Context, op passfort.Operation) (context.Context, trace.Span) {
	if t.Tracer == nil || op == passfort.OpWhoAmI {
		return ctx, nil
	}
	method, template := op.Route()
	ctx, span := t.Tracer.Start(ctx, method+" "+template, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		semconv.HTTPRequestMethodKey.String(method),
		semconv.URLTemplate(template),
		semconv.ServerAddress(t.Server),
		semconv.ServerPort(t.Port),
	))
	return passfort.WithTrace(ctx, traceOf(span)), span
}

// endCall notes how the call ended.
func endCall(span trace.Span, status int, code string, err error) {
	if span == nil {
		return
	}
	if status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if err != nil {
		fail(span, code, err)
	}
	span.End(trace.WithTimestamp(time.Now()))
}
