package processor

import (
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/internal/decision"
)

// TestEverySpanEnds has panics in calls, in the publisher, and in
// settling, for decisions by ID and by alias, with and without looks at profiles.
func TestEverySpanEnds(t *testing.T) {
	for _, outcome := range []bool{false, true} {
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		onStage(t, func(s *stage) {
			var n atomic.Int32
			some := func(where string) {
				if n.Add(1)%3 == 0 {
					panic(where)
				}
			}
			s.onCall = func(string, string) { some("call") }
			s.onPublish = func(decision.Record) error { some("publish"); return nil }
			s.onSettle = func(int64) { some("settle") }
			values := []string{"{", decisionOn(90, `,"expires_at":"1999-01-01T00:00:00Z"`)}
			for i := range 20 {
				values = append(values, decisionOn(i, ""), byAlias(i, "a", ""), byAlias(i, "b", ""))
			}
			s.submit(values...)
			s.await(len(values))
		}, func(o *Options) { o.ProfileOutcome, o.Tracing.Tracer = outcome, provider.Tracer("") })
		ended := make(map[string]bool)
		for _, span := range spans.Ended() {
			id := span.SpanContext().SpanID().String()
			if ended[id] {
				t.Errorf("%s ended twice", span.Name())
			}
			ended[id] = true
		}
		open := make(map[string]int)
		for _, span := range spans.Started() {
			if !ended[span.SpanContext().SpanID().String()] {
				open[span.Name()]++
			}
		}
		if len(open) != 0 || len(ended) == 0 {
			t.Errorf("%d spans ended, and never: %v", len(ended), open)
		}
	}
}
