package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"verdict/configs"
	"verdict/processor"
)

// The variables that say whether there are spans, and by which protocol they
// are sent; where to, how often and which share of them are the exporter's and
// the SDK's own (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
const (
	otelDisabled      = "OTEL_SDK_DISABLED"
	otelExporter      = "OTEL_TRACES_EXPORTER"
	otelEndpoint      = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelTraceEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otelProtocol      = "OTEL_EXPORTER_OTLP_PROTOCOL"
	otelTraceProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// StartTracing is the tracer that the environment asks for, and its stop, which
// sends what is left. Nobody asks: a nil tracer, which costs nothing.
func StartTracing(ctx context.Context, environ []string, log *slog.Logger) (trace.Tracer, func(), error) {
	none := func() {}
	env := otelVariables(environ)
	if strings.EqualFold(env[otelDisabled], "true") {
		return nil, none, nil
	}
	switch exporter := env[otelExporter]; {
	case exporter == "none":
		return nil, none, nil
	case exporter == "" && env[otelEndpoint] == "" && env[otelTraceEndpoint] == "":
		return nil, none, nil
	case exporter != "" && exporter != "otlp":
		return nil, nil, fmt.Errorf("%s: is %q; want otlp or none", otelExporter, exporter)
	}
	protocol := env[otelTraceProtocol]
	if protocol == "" {
		protocol = env[otelProtocol]
	}
	var exporter sdktrace.SpanExporter
	var err error
	switch protocol {
	case "", "http/protobuf":
		exporter, err = otlptracehttp.New(ctx)
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx)
	default:
		err = fmt.Errorf("%s: is %q; want http/protobuf or grpc", otelProtocol, protocol)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("export traces by OTLP: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "verdict"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv()) // the environment's word comes last
	if err != nil {
		return nil, nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	// The SDK tells what it can't send here; it is no reason to stop anything.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not exported", "err", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider.Tracer("verdict", trace.WithInstrumentationVersion(version)), func() {
		// Whoever collects traces must not hold up a stop, nor make it fail.
		ctx, cancel := context.WithTimeout(context.Background(), tracingStop)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces are not exported", "err", err)
		}
	}, nil
}

// tracingStop bounds the export of the last spans.
const tracingStop = 5 * time.Second

// tracing is what the spans of a service say of it.
func tracing(tracer trace.Tracer, cfg configs.Config) processor.Tracing {
	t := processor.Tracing{Tracer: tracer, Group: cfg.Kafka.GroupID}
	if u, err := url.Parse(cfg.API.BaseURL); err == nil { // validated before
		t.Server, t.Port = u.Hostname(), map[string]int{"http": 80, "https": 443}[u.Scheme]
		if port, err := strconv.Atoi(u.Port()); err == nil {
			t.Port = port
		}
	}
	return t
}

// otelVariables is those of OpenTelemetry's among the variables of a process.
func otelVariables(environ []string) map[string]string {
	env := make(map[string]string)
	for _, kv := range slices.Backward(environ) { // of two the later counts
		name, value, _ := strings.Cut(kv, "=")
		if _, given := env[name]; !given && strings.HasPrefix(name, "OTEL_") {
			env[name] = strings.TrimSpace(value)
		}
	}
	return env
}
