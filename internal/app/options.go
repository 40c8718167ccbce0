package app

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Options are what a service needs besides its configuration.
type Options struct {
	Log      *slog.Logger         // required
	Registry *prometheus.Registry // gets the service's metrics; required

	// How to reach Kafka, the API and the Schema Registry; nil: by TCP.
	DialKafka, DialAPI, DialSchemas DialFunc

	Tracer trace.Tracer // makes the spans of decisions; nil: no spans

	// Ready is called once, when the admin server listens, with its address; nil: no
	// call.
	Ready func(adminAddr string)
}
