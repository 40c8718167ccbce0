package app

import (
	"cmp"
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

// The environment variables that decide whether there are spans and which protocol
// sends them. The exporter and the SDK read others by themselves: where spans go, how
// often, and how many
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
const (
	otelDisabled      = "OTEL_SDK_DISABLED"
	otelExporter      = "OTEL_TRACES_EXPORTER"
	otelEndpoint      = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelTraceEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otelProtocol      = "OTEL_EXPORTER_OTLP_PROTOCOL"
	otelTraceProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// tracingStop bounds the export of the last spans.
const tracingStop = 5 * time.Second

// StartTracing returns the tracer that the environment configures, and its stop, which
// exports what is left. Without such a configuration the tracer is nil, which costs
// nothing. Failed exports are logged; they stop nothing and fail nothing.
func StartTracing(ctx context.Context, environ []string, log *slog.Logger) (tracer trace.Tracer, stop func(), err error) {
	env := otelVariables(environ)
	enabled, err := tracingEnabled(env)
	if err != nil {
		return nil, nil, err
	}
	if !enabled {
		return nil, func() {}, nil
	}
	exporter, err := newExporter(ctx, cmp.Or(env[otelTraceProtocol], env[otelProtocol]))
	if err != nil {
		return nil, nil, fmt.Errorf("export traces by OTLP: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "verdict"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv()) // the environment overrides the others
	if err != nil {
		return nil, nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not exported", "err", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider.Tracer("verdict", trace.WithInstrumentationVersion(version)), func() {
		ctx, cancel := context.WithTimeout(context.Background(), tracingStop)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces are not exported", "err", err)
		}
	}, nil
}

// tracingEnabled reports whether the environment asks for traces.
func tracingEnabled(env map[string]string) (bool, error) {
	if strings.EqualFold(env[otelDisabled], "true") {
		return false, nil
	}
	switch exporter := env[otelExporter]; exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return env[otelEndpoint] != "" || env[otelTraceEndpoint] != "", nil
	default:
		return false, fmt.Errorf("%s: is %q; want otlp or none", otelExporter, exporter)
	}
}

// newExporter returns the exporter for an OTLP protocol; "" means HTTP.
func newExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("%s: is %q; want http/protobuf or grpc", otelProtocol, protocol)
	}
}

// tracing returns what the spans of a service have in common.
func tracing(tracer trace.Tracer, cfg configs.Config) processor.Tracing {
	t := processor.Tracing{Tracer: tracer, Group: cfg.Kafka.GroupID}
	if u, err := url.Parse(cfg.API.BaseURL); err == nil { // otherwise validation has failed before
		t.Server, t.Port = u.Hostname(), map[string]int{"http": 80, "https": 443}[u.Scheme]
		if port, err := strconv.Atoi(u.Port()); err == nil {
			t.Port = port
		}
	}
	return t
}

// otelVariables returns the variables of OpenTelemetry in an environment.
func otelVariables(environ []string) map[string]string {
	env := make(map[string]string)
	for _, kv := range slices.Backward(environ) { // the last one of a name counts
		name, value, _ := strings.Cut(kv, "=")
		if _, given := env[name]; !given && strings.HasPrefix(name, "OTEL_") {
			env[name] = strings.TrimSpace(value)
		}
	}
	return env
}
