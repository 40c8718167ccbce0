package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/decision"
	"verdict/internal/decision/codec"
	"verdict/internal/passfort"
	"verdict/processor"
)

// Options are what a service needs besides its configuration.
type Options struct {
	Log      *slog.Logger
	Registry *prometheus.Registry

	// How to reach Kafka, the API and the Schema Registry; nil: by TCP.
	DialKafka, DialAPI, DialSchemas DialFunc

	Tracer trace.Tracer // nil: no spans

	// Ready, if set, is called with the address of the admin server once it
	// listens.
	Ready func(adminAddr string)
}

// Run is the service. It acquires one part after the other and registers its
// stop, consumes until ctx ends, and stops the parts in the opposite order:
//
//	not ready ─► consumer (stop fetching, drain, commit, leave the group)
//	          ─► processor ─► publisher (flush) ─► connections ─► admin server
func Run(ctx context.Context, cfg configs.Config, w Options) (err error) {
	var stops stops
	defer func() { err = errors.Join(err, stops.run(w.Log)) }()

	key, err := NewKey(cfg.API)
	if err != nil {
		return err
	}
	g, err := newGround(cfg, w, &stops)
	if err != nil {
		return err
	}

	client, err := passfort.New(passfort.Options{
		BaseURL: cfg.API.BaseURL, Key: key.Key, Timeout: cfg.API.Timeout, AllowHTTP: cfg.API.AllowHTTP,
		MaxConnections: cfg.Processor.Workers + 1, // and one for probes
		UserAgent:      "verdict/" + version, DialContext: w.DialAPI,
	})
	if err != nil {
		return err
	}
	stops.add("API connections", func() error { client.Close(); return nil })

	decoder, err := NewDecoder(cfg.Decode, codec.Options{DialContext: w.DialSchemas, Logger: w.Log, OnState: g.kafka.await})
	if err != nil {
		return err
	}
	stops.add("Schema Registry connections", func() error { decoder.Close(); return nil })

	work, err := processor.New(processor.Options{
		API: client, Publisher: g.publisher, Metrics: g.metrics, Logger: w.Log, Instance: instance(), Decode: decoder.Decode,
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		RateLimit: cfg.API.RateLimit, Burst: cfg.API.Burst, GroupRate: cfg.API.RateLimitScope == configs.ScopeGroup,
		Workers: cfg.Processor.Workers, MaxPending: cfg.Processor.MaxPending, MaxBytes: int64(cfg.Processor.MaxPendingBytes),
		MaxAttempts: cfg.Processor.MaxAttempts, BackoffMin: cfg.Processor.BackoffMin, BackoffMax: cfg.Processor.BackoffMax,
		BackfillMinShare: cfg.Processor.BackfillMinShare,
		Preflight:        cfg.Processor.Preflight,
		OnConflict:       cfg.Processor.OnConflict,
		ProfileOutcome:   cfg.Processor.ProfileOutcome,
		ReloadKey:        key.Reload,
		Tracing:          tracing(w.Tracer, cfg),
	})
	if err != nil {
		return err
	}
	g.kafka.pause = func(on bool) { work.Pause(decision.PausedKafka, on) }
	g.kafka.show = g.showKafka
	stops.add("processor", background(func(ctx context.Context) error { work.Run(ctx); return nil }))

	lanes := make(map[string]decision.Lane)
	var topics []string
	for _, in := range cfg.Kafka.Topics.Lanes() {
		lanes[in.Topic] = in.Lane
		topics = append(topics, in.Topic)
		g.metrics.TopicInfo.WithLabelValues(in.Topic, in.Lane.String()).Set(1)
	}
	return g.consume(ctx, cfg.Kafka.GroupID, topics, handler{work, lanes}, func() bool { return work.Paused(decision.PausedAuth) }, slog.String("api", cfg.API.BaseURL))
}

// handler hands what the consumer reads to the processor: the two know nothing
// of each other.
type handler struct {
	work  *processor.Processor
	lanes map[string]decision.Lane
}

func (h handler) Assigned(owned, total int) { h.work.Assigned(owned, total) }

func (h handler) Accept(ctx context.Context, claim *consumer.Claim, rec decision.Record, before decision.Progress) error {
	return h.work.Submit(ctx, h.lanes[rec.Topic], claim, rec, before)
}

func (h handler) Drain(ctx context.Context, claims []*consumer.Claim) {
	all := make([]processor.Claim, len(claims))
	for i, claim := range claims {
		all[i] = claim
	}
	h.work.Drain(ctx, all)
}

// instance names this process in dead letters.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// NewDecoder decodes the configured formats. opts has what is not configured.
func NewDecoder(cfg configs.Decode, opts codec.Options) (*codec.Decoder, error) {
	opts.Format, opts.RegistryURL, opts.UserAgent = cfg.Format, cfg.RegistryURL.Reveal(), "verdict/"+version
	return codec.New(opts)
}
