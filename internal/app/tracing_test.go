package app

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestStartTracingExportsToTheEndpoint(t *testing.T) {
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
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL) // the exporter reads it by itself
	log := slog.New(slog.DiscardHandler)
	tracer, stop, err := StartTracing(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}, log)
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

func TestStartTracingWithoutAnEndpointReturnsNil(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		env  []string
		want string // in the error; empty: no tracer and no error
	}{
		"empty":            {nil, ""},
		"none":             {[]string{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}, ""},
		"disabled":         {[]string{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}, ""},
		"another exporter": {[]string{"OTEL_TRACES_EXPORTER=zipkin"}, `OTEL_TRACES_EXPORTER: is "zipkin"; want otlp or none`},
		"another protocol": {[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, `OTEL_EXPORTER_OTLP_PROTOCOL: is "http/json"; want http/protobuf or grpc`},
		"metrics only":     {[]string{"OTEL_METRICS_EXPORTER=otlp"}, ""},
	} {
		tracer, stop, err := StartTracing(t.Context(), c.env, log)
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
