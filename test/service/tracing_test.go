package service_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"verdict/internal/app"
	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

const (
	upstreamTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	upstreamSpan  = "00f067aa0ba902b7"
	upstream      = "00-" + upstreamTrace + "-" + upstreamSpan + "-01"
)

// traced is a decision whose record names a trace.
func traced(r outgoing, traceparent string) outgoing {
	r.headers = []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}}
	return r
}

// tracesOf is every header traceparent of a topic's records.
func (w *world) tracesOf(topic string) []string {
	var all []string
	for _, rec := range w.read(topic) {
		for _, h := range rec.Headers {
			if h.Key == "traceparent" {
				all = append(all, string(h.Value))
			}
		}
	}
	return all
}

// exemplars is the trace of each exemplar that a histogram of a member has.
func (m *member) exemplars(name string) []string {
	m.w.t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		m.w.t.Fatal(err)
	}
	var all []string
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			for _, b := range series.GetHistogram().GetBucket() {
				for _, l := range b.GetExemplar().GetLabel() {
					all = append(all, l.GetValue())
				}
			}
		}
	}
	return all
}

func TestATraceGoesThroughTheCallIntoWhatIsPublished(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		it := task(1, 1)
		broken := outgoing{topic: w.cfg.Kafka.Topics.Decisions, key: it.ProfileID, value: "{"}
		w.send(traced(decide(w.cfg.Kafka.Topics.Decisions, it, decision.CompletedPass), upstream), traced(broken, upstream))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, c := range w.allCalls() {
			if c.Trace != upstream {
				t.Errorf("%s carries %q", c.Operation, c.Trace)
			}
		}
		if got := w.tracesOf(w.cfg.Kafka.Topics.Results); !slices.Equal(got, []string{upstream}) {
			t.Errorf("the result names %q", got)
		}
		if got := w.tracesOf(w.cfg.Kafka.Topics.DeadLetters); !slices.Equal(got, []string{upstream}) {
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

func TestWhatNamesNoTraceCarriesNone(t *testing.T) {
	inWorld(t, sandbox.Options{}, func(t *testing.T, w *world) {
		w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1, 1), decision.CompletedPass),
			traced(decide(w.cfg.Kafka.Topics.Decisions, task(2, 2), decision.CompletedPass), "00-hostile\r\nX: 1"))
		m := w.start()
		w.awaitAll(time.Minute)
		m.stop()
		for _, c := range w.allCalls() {
			if c.Trace != "" {
				t.Errorf("%s carries %q", c.Operation, c.Trace)
			}
		}
		if got := w.tracesOf(w.cfg.Kafka.Topics.Results); len(got) > 0 {
			t.Errorf("results name %q", got)
		}
		if got := m.exemplars("verdict_api_request_duration_seconds"); len(got) > 0 {
			t.Errorf("exemplars %q", got)
		}
	})
}

func TestSpansShowWhatADecisionWentThrough(t *testing.T) {
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
		w.send(traced(decide(topics.Decisions, task(1, 1), decision.CompletedPass, `"id":"d-1"`), upstream))
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
			t.Errorf("the whole is under %s", whole.Parent.SpanID())
		}
		for _, s := range spans {
			if s.Name != whole.Name && s.Parent.SpanID() != whole.SpanContext.SpanID() {
				t.Errorf("%s is not within the whole", s.Name)
			}
			if s.EndTime.Before(s.StartTime) || s.StartTime.Before(whole.StartTime) || s.EndTime.After(whole.EndTime) {
				t.Errorf("%s lasts from %v to %v, the whole from %v to %v", s.Name, s.StartTime, s.EndTime, whole.StartTime, whole.EndTime)
			}
		}
		attributes := func(s tracetest.SpanStub) map[string]string {
			all := make(map[string]string)
			for _, kv := range s.Attributes {
				all[string(kv.Key)] = kv.Value.String()
			}
			return all
		}
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
		if got, want := w.tracesOf(topics.Results), "00-"+upstreamTrace+"-"+spans[4].SpanContext.SpanID().String()+"-01"; !slices.Equal(got, []string{want}) {
			t.Errorf("the result names %q, want %q", got, want)
		}
	})
}

func TestTracesAreExportedWhenTheEnvironmentAsksForIt(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	var bodies bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		_, _ = io.Copy(&bodies, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL) // which the exporter reads by itself
	log := slog.New(slog.DiscardHandler)
	tracer, stop, err := app.StartTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}, log)
	if err != nil || tracer == nil {
		t.Fatal(tracer, err)
	}
	_, span := tracer.Start(t.Context(), "process somewhere")
	span.End()
	stop()
	if !slices.Equal(paths, []string{"/v1/traces"}) || !bytes.Contains(bodies.Bytes(), []byte("process somewhere")) {
		t.Errorf("sent to %q: %q", paths, bodies.String())
	}
}

func TestTracesAreLeftOutUnlessTheEnvironmentAsksForThem(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		env  []string
		want string // in the error; empty: no tracer
	}{
		"nothing said":       {nil, ""},
		"none":               {[]string{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}, ""},
		"disabled":           {[]string{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}, ""},
		"another exporter":   {[]string{"OTEL_TRACES_EXPORTER=zipkin"}, `OTEL_TRACES_EXPORTER: is "zipkin"; want otlp or none`},
		"another protocol":   {[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, `OTEL_EXPORTER_OTLP_PROTOCOL: is "http/json"; want http/protobuf or grpc`},
		"only other metrics": {[]string{"OTEL_METRICS_EXPORTER=otlp"}, ""},
	} {
		tracer, stop, err := app.StartTracing(t.Context(), c.env, log)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			continue
		}
		if tracer != nil || err != nil {
			t.Errorf("%s: %v %v", name, tracer, err)
			continue
		}
		stop()
	}
}
