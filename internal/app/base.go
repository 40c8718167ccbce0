package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/metrics"
)

// ground is what `run` and `decide` both stand on: metrics, the admin server that
// shows them, and the way to Kafka and back. What is done between reading a record
// and publishing another is theirs.
type ground struct {
	cfg        configs.Config
	w          Options
	metrics    *metrics.Metrics
	health     *health
	admin      *metrics.Admin
	connection *broker.Connection
	kafka      *kafkaHealth
	publisher  *broker.Publisher
}

// newGround acquires it part by part, each with its stop.
func newGround(cfg configs.Config, w Options, stops *stops) (*ground, error) {
	g := &ground{
		cfg: cfg, w: w, metrics: metrics.New(w.Registry), health: &health{},
		kafka: &kafkaHealth{log: w.Log, failing: make(map[string]error)},
	}
	metrics.RegisterReady(w.Registry, g.health.ready)
	g.admin = metrics.NewAdmin(metrics.AdminOptions{
		Addr: cfg.Admin.Addr, Gatherer: w.Registry, Ready: g.health.ready, Pprof: cfg.Admin.Pprof, Logger: w.Log,
	})
	if err := g.admin.Listen(); err != nil {
		return nil, err
	}
	stops.add("admin server", background(g.admin.Serve))
	if w.Ready != nil {
		w.Ready(g.admin.Addr())
	}

	var err error
	if g.connection, err = Connect(cfg.Kafka, w.DialKafka); err != nil {
		return nil, err
	}
	stops.add("Kafka connections", func() error { g.connection.Close(); return nil })
	if PasswordInTheClear(cfg.Kafka) {
		w.Log.Warn("the password for Kafka travels in the clear: kafka.sasl.mechanism is PLAIN and kafka.tls.enabled is false")
	}

	g.publisher = broker.NewPublisher(broker.PublisherOptions{
		Client:         g.connection.Client(),
		OnHealthChange: func(err error) { g.kafka.set("publish", err) },
		// A record that names a trace is measured with it.
		Observe: func(rec *decision.Record, seconds float64) {
			metrics.Observe(g.metrics.PublishDuration.WithLabelValues(rec.Topic), seconds, decision.Traceparent(rec.Headers))
		},
	})
	stops.add("publisher", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), publisherStop)
		defer cancel()
		return g.publisher.Close(ctx)
	})
	return g, nil
}

// publisherStop bounds the last flush. What is drained is acknowledged already,
// so there is nothing left to flush unless Kafka is away.
const publisherStop = 5 * time.Second

// showKafka is the metric of the pause for Kafka.
func (g *ground) showKafka(on bool) {
	g.metrics.Paused.WithLabelValues(string(decision.PausedKafka)).Set(map[bool]float64{true: 1}[on])
}

// consume reads topics as a member of a group until ctx ends, and hands what it
// reads to handler. halted says whether the instance can't do its work though it
// is a member; about is what the log says of it beside.
func (g *ground) consume(ctx context.Context, group string, topics []string, handler consumer.Handler, halted func() bool, about ...slog.Attr) error {
	k := g.cfg.Kafka
	intake, err := consumer.New(consumer.Options{
		Brokers: k.Brokers, Dialer: g.connection.Dialer(), Client: g.connection.Client(),
		GroupID: group, Topics: topics, UserData: AboutMember(g.cfg), StartLatest: k.StartOffset == configs.StartLatest,
		CommitInterval: k.CommitInterval, MaxUncommitted: k.MaxUncommitted,
		SessionTimeout: k.SessionTimeout, RebalanceTimeout: k.RebalanceTimeout,
		DrainTimeout: g.cfg.Processor.ShutdownTimeout,
		Metrics:      g.metrics, Logger: g.w.Log,
		OnHealthChange: func(part consumer.Part, err error) { g.kafka.set(string(part), err) },
	}, handler)
	if err != nil {
		return err
	}
	g.health.watch(intake.Joined, halted)
	context.AfterFunc(ctx, func() { g.health.stopping.Store(true) })
	g.w.Log.LogAttrs(ctx, slog.LevelInfo, "started", append(about, slog.String("group", group), slog.Any("topics", topics), slog.String("admin", g.admin.Addr()))...)
	err = intake.Run(ctx)
	g.w.Log.Info("stopped", "cause", fmt.Sprint(context.Cause(ctx)))
	return err
}
