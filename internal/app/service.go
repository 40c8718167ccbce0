package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/metrics"
)

// publisherStop bounds the publisher's last flush. After a drain everything is
// acknowledged, so there is something to flush only if Kafka is unreachable.
const publisherStop = 5 * time.Second

// service is what `run` and `decide` share: metrics, the admin server that serves them,
// the connection to Kafka and the publisher. What happens to a record between the
// consumer and the publisher is left to them.
type service struct {
	cfg        configs.Config
	opts       Options
	metrics    *metrics.Metrics
	status     statusSource
	kafka      kafkaHealth
	admin      *metrics.Admin
	connection *broker.Connection
	publisher  *broker.Publisher
}

// newService acquires the shared parts, and registers their stops.
func newService(cfg configs.Config, o Options, stops *stops) (*service, error) {
	s := &service{cfg: cfg, opts: o, metrics: metrics.New(o.Registry)}
	s.kafka.log, s.kafka.failing = o.Log, make(map[string]error)
	s.status.kafka = &s.kafka
	metrics.RegisterReady(o.Registry, func() bool { return s.status.status().NotReady() == "" })
	s.admin = metrics.NewAdmin(metrics.AdminOptions{
		Addr: cfg.Admin.Addr, Gatherer: o.Registry, Ready: s.status.ready, Pprof: cfg.Admin.Pprof, Logger: o.Log,
	})
	if err := s.admin.Listen(); err != nil {
		return nil, err
	}
	stops.add("admin server", background(s.admin.Serve))
	if o.Ready != nil {
		o.Ready(s.admin.Addr())
	}

	var err error
	if s.connection, err = Connect(cfg.Kafka, o.DialKafka); err != nil {
		return nil, err
	}
	stops.add("Kafka connections", func() error { s.connection.Close(); return nil })
	if PasswordInTheClear(cfg.Kafka) {
		o.Log.Warn("the Kafka password is sent unencrypted: kafka.sasl.mechanism is PLAIN and kafka.tls.enabled is false")
	}

	s.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client:         s.connection.Client(),
		OnHealthChange: func(err error) { s.kafka.set("publish", err) },
		Observe: func(rec *decision.Record, seconds float64) {
			metrics.Observe(s.metrics.PublishDuration.WithLabelValues(rec.Topic), seconds, decision.TraceOf(rec.Headers).Parent)
		},
	})
	stops.add("publisher", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), publisherStop)
		defer cancel()
		return s.publisher.Close(ctx)
	})
	stops.add("status line", background(func(ctx context.Context) error { return s.status.log(ctx, o.Log) }))
	return s, nil
}

// showKafkaPause sets the metric of the pause for Kafka.
func (s *service) showKafkaPause(on bool) {
	value := 0.0
	if on {
		value = 1
	}
	s.metrics.Paused.WithLabelValues(string(decision.PausedKafka)).Set(value)
}

// consume hands the records of topics to handler, as a member of group, until ctx ends.
// about is added to the log line of the start.
func (s *service) consume(ctx context.Context, group string, topics []string, handler consumer.Handler, about slog.Attr) error {
	k := s.cfg.Kafka
	intake, err := consumer.New(consumer.Options{
		Brokers: k.Brokers, Dialer: s.connection.Dialer(), Client: s.connection.Client(),
		Fetch: s.connection.Fetch, Deleted: s.connection.Deleted, TopicIDs: s.connection.TopicIDs, ReadAt: s.connection.ReadAt,
		GroupID: group, Topics: topics, UserData: MemberOf(s.cfg).encode(), StartLatest: k.StartOffset == configs.StartLatest,
		ReadAhead:      int(s.cfg.Processor.MaxPendingBytes / readAheadPart),
		CommitInterval: k.CommitInterval, MaxUncommitted: k.MaxUncommitted,
		SessionTimeout: k.SessionTimeout, RebalanceTimeout: k.RebalanceTimeout,
		DrainTimeout: s.cfg.Processor.ShutdownTimeout,
		Metrics:      s.metrics, Logger: s.opts.Log,
		OnHealthChange: func(part consumer.Part, err error) { s.kafka.set(string(part), err) },
	}, handler)
	if err != nil {
		return err
	}
	s.status.intake.Store(intake)
	context.AfterFunc(ctx, s.status.stop)
	s.opts.Log.LogAttrs(ctx, slog.LevelInfo, "started",
		about, slog.String("group", group), slog.Any("topics", topics), slog.String("admin", s.admin.Addr()))
	err = intake.Run(ctx)
	s.opts.Log.Info("stopped", "cause", fmt.Sprint(context.Cause(ctx)))
	return err
}

// readAheadPart is the part of processor.max_pending_bytes that may be read ahead, one in so
// many. The lanes share the rest.
const readAheadPart = 4

// instance returns the name of this process in dead letters.
func instance() string {
	return fmt.Sprintf("%s/%d", hostname(), os.Getpid())
}

// hostname names this machine.
func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}
