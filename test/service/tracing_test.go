package service_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

const (
	upstreamTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	upstreamSpan  = "00f067aa0ba902b7"
	upstream      = "00-" + upstreamTrace + "-" + upstreamSpan + "-01"
)

func TestTraceReachesTheCallAndTheResult(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		it := task(1, 1)
		broken := outgoing{topic: w.cfg.Kafka.Topics.Decisions, key: it.ProfileID, value: "{"}
		w.send(withTrace(decisionOn(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass), upstream), withTrace(broken, upstream))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, c := range w.completions() {
			if c.Trace != upstream {
				t.Errorf("%s carries %q", c.Operation, c.Trace)
			}
		}
		if got := w.traces(w.cfg.Kafka.Topics.Results); !slices.Equal(got, []string{upstream}) {
			t.Errorf("the result names %q", got)
		}
		for _, rec := range w.read(w.cfg.Kafka.Topics.Results) {
			if got := decision.TraceOf(rec.Headers).State; got != "a=b" {
				t.Errorf("the result has the state %q", got)
			}
		}
		if got := w.traces(w.cfg.Kafka.Topics.DeadLetters); !slices.Equal(got, []string{upstream}) {
			t.Errorf("the dead letter names %q", got)
		}
		for _, name := range []string{"verdict_api_request_duration_seconds", "verdict_decision_duration_seconds", "verdict_publish_duration_seconds"} {
			got := m.exemplars(name)
			if len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return s != upstreamTrace }) {
				t.Errorf("%s has the exemplars %q", name, got)
			}
		}
	})
}

func TestRecordWithoutATraceCarriesNone(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass),
			withTrace(decisionOn(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass), "00-hostile\r\nX: 1"))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, c := range w.allCalls() {
			if c.Trace != "" {
				t.Errorf("%s carries %q", c.Operation, c.Trace)
			}
		}
		if got := w.traces(w.cfg.Kafka.Topics.Results); len(got) > 0 {
			t.Errorf("the results name %q, want none", got)
		}
		if got := m.exemplars("verdict_api_request_duration_seconds"); len(got) > 0 {
			t.Errorf("the exemplars are %q, want none", got)
		}
	})
}

func TestSpansCoverADecision(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		exporter := tracetest.NewInMemoryExporter()
		w.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("test")
		var first atomic.Bool
		w.setFaults(func(c sandbox.Call) sandbox.Fault {
			if c.Operation == passfort.OpComplete && first.CompareAndSwap(false, true) {
				return answer(http.StatusServiceUnavailable, "")
			}
			return sandbox.Fault{}
		})
		topics := w.cfg.Kafka.Topics
		w.send(withTrace(decisionOn(topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`), upstream))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()

		var whole tracetest.SpanStub
		var names []string
		spans := exporter.GetSpans()
		for _, s := range spans {
			names = append(names, s.Name)
			if s.SpanContext.TraceID().String() != upstreamTrace {
				t.Errorf("%s is of trace %s", s.Name, s.SpanContext.TraceID())
			}
			if strings.HasPrefix(s.Name, "process ") {
				whole = s
			}
		}
		const call = "POST /profiles/{profile_id}/tasks/{task_id}"
		if want := []string{"wait", call, "wait", call, "send " + topics.Results, "process " + topics.Decisions}; !slices.Equal(names, want) {
			t.Fatalf("spans %q, want %q", names, want)
		}
		if whole.Parent.SpanID().String() != upstreamSpan || !whole.Parent.IsRemote() {
			t.Errorf("the parent of the decision's span is %s", whole.Parent.SpanID())
		}
		checkWithin(t, whole, spans)
		for key, want := range map[string]string{
			"messaging.system": "kafka", "messaging.destination.name": topics.Decisions, "messaging.kafka.offset": "0",
			"messaging.consumer.group.name": w.cfg.Kafka.GroupID, "messaging.operation.type": "process",
			"verdict.decision_id": "d-1", "verdict.outcome": "completed", "verdict.attempts": "2", "verdict.lane": "live",
		} {
			if got := attributes(whole)[key]; got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		failed, done := attributes(spans[1]), attributes(spans[3])
		if failed["http.response.status_code"] != "503" || failed["error.type"] != "503" || done["http.response.status_code"] != "200" ||
			done["http.request.method"] != "POST" || done["server.address"] != "localhost" || done["error.type"] != "" {
			t.Errorf("the calls are %v and %v", failed, done)
		}
		for i, c := range w.completions() {
			if s := spans[1+2*i].SpanContext; c.Trace != "00-"+upstreamTrace+"-"+s.SpanID().String()+"-01" {
				t.Errorf("call %d carries %q, its span is %s", i, c.Trace, s.SpanID())
			}
		}
		if got, want := w.traces(topics.Results), "00-"+upstreamTrace+"-"+spans[4].SpanContext.SpanID().String()+"-01"; !slices.Equal(got, []string{want}) {
			t.Errorf("the result names %q, want %q", got, want)
		}
	})
}

// checkWithin checks that the other spans are children of whole, and lie within it.
func checkWithin(t *testing.T, whole tracetest.SpanStub, spans tracetest.SpanStubs) {
	t.Helper()
	for _, s := range spans {
		if s.Name != whole.Name && s.Parent.SpanID() != whole.SpanContext.SpanID() {
			t.Errorf("%s is not a child of the decision's span", s.Name)
		}
		if s.EndTime.Before(s.StartTime) || s.StartTime.Before(whole.StartTime) || s.EndTime.After(whole.EndTime) {
			t.Errorf("%s lasts from %v to %v, the decision's span from %v to %v", s.Name, s.StartTime, s.EndTime, whole.StartTime, whole.EndTime)
		}
	}
}

// attributes returns the attributes of a span as text.
func attributes(s tracetest.SpanStub) map[string]string {
	all := make(map[string]string)
	for _, kv := range s.Attributes {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}
