package cli

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"verdict/internal/app"
	"verdict/metrics"
)

func runCommand(s Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service",
		Long: `Run consumes decisions from Kafka, completes their tasks at the PassFort API and
publishes a result or a dead letter for each. Only then does it commit the
decision's offset. It runs until SIGTERM or SIGINT: then it finishes the calls in
flight within processor.shutdown_timeout, commits and leaves the group. A second
signal ends it at once.

To export traces by OTLP, set OTEL_EXPORTER_OTLP_ENDPOINT or another of
OpenTelemetry's environment variables.`,
		Example: `  VERDICT_API_KEY=… verdict run --config verdict.yaml

  verdict run --kafka-brokers kafka-1:9092,kafka-2:9092 \
      --api-key-file /run/secrets/passfort --log-format text`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, s, true)
			if err != nil {
				return err
			}
			log := newLogger(s, cfg.Log)
			tracer, stopTracing, err := app.StartTracing(cmd.Context(), s.Environ, log)
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			defer stopTracing()
			registry := prometheus.NewRegistry()
			metrics.RegisterProcess(registry, app.Build())
			return app.Run(cmd.Context(), cfg, app.Options{Log: log, Registry: registry, Tracer: tracer})
		},
	}
	configFlags(cmd)
	return cmd
}
