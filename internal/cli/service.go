package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/decision"
	"verdict/internal/decision/codec"
	"verdict/internal/passfort"
	"verdict/processor"
)

// wiring is what a service has beside its configuration.
type wiring struct {
	log                *slog.Logger
	registry           *prometheus.Registry
	dialKafka, dialAPI dialFunc
	dialSchemas        dialFunc     // to the Schema Registry
	tracer             trace.Tracer // of spans; nil: none
	// ready is told the address of the admin server once it listens.
	ready func(adminAddr string)
}

// serve is the service, from nothing to nothing: it acquires one part after the
// other, each with its stop, runs until ctx ends, and stops them in the opposite
// order:
//
//	not ready ─► consumer (stop fetching, drain, commit, leave the group)
//	          ─► processor ─► publisher (flush) ─► connections ─► admin server
func serve(ctx context.Context, cfg configs.Config, w wiring) (err error) {
	var stops stops
	defer func() { err = errors.Join(err, stops.run(w.log)) }()

	key, err := newAPIKey(cfg.API)
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
		UserAgent:      "verdict/" + version, DialContext: w.dialAPI,
	})
	if err != nil {
		return err
	}
	stops.add("API connections", func() error { client.Close(); return nil })

	decoder, err := newDecoder(cfg.Decode, codec.Options{DialContext: w.dialSchemas, Logger: w.log, OnState: g.kafka.await})
	if err != nil {
		return err
	}
	stops.add("Schema Registry connections", func() error { decoder.Close(); return nil })

	work, err := processor.New(processor.Options{
		API: client, Publisher: g.publisher, Metrics: g.metrics, Logger: w.log, Instance: instance(), Decode: decoder.Decode,
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		RateLimit: cfg.API.RateLimit, Burst: cfg.API.Burst, GroupRate: cfg.API.RateLimitScope == configs.ScopeGroup,
		Workers: cfg.Processor.Workers, MaxPending: cfg.Processor.MaxPending, MaxBytes: int64(cfg.Processor.MaxPendingBytes),
		MaxAttempts: cfg.Processor.MaxAttempts, BackoffMin: cfg.Processor.BackoffMin, BackoffMax: cfg.Processor.BackoffMax,
		BackfillMinShare: cfg.Processor.BackfillMinShare,
		Preflight:        cfg.Processor.Preflight,
		OnConflict:       cfg.Processor.OnConflict,
		ProfileOutcome:   cfg.Processor.ProfileOutcome,
		ReloadKey:        key.Reload,
		Tracing:          tracing(w.tracer, cfg),
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

// health answers the admin server's /readyz, which is asked before all that it
// looks at is there.
type health struct {
	stopping atomic.Bool
	watched  atomic.Pointer[watched] // nil: not there yet
}

type watched struct{ joined, paused func() bool }

// watch sets what readiness depends on.
func (h *health) watch(joined, paused func() bool) { h.watched.Store(&watched{joined, paused}) }

func (h *health) ready() error {
	w := h.watched.Load()
	switch {
	case h.stopping.Load():
		return errors.New("stopping")
	case w == nil || !w.joined():
		return errors.New("not a member of the consumer group yet")
	case w.paused():
		return errors.New("paused: the API key is refused")
	}
	return nil
}

// newDecoder decodes the configured formats. opts has what is not configured.
func newDecoder(cfg configs.Decode, opts codec.Options) (*codec.Decoder, error) {
	opts.Format, opts.RegistryURL, opts.UserAgent = cfg.Format, cfg.RegistryURL.Reveal(), "verdict/"+version
	return codec.New(opts)
}

// stops are the ends of what was acquired, run last-in first-out.
type stops []struct {
	name string
	stop func() error
}

func (s *stops) add(name string, stop func() error) {
	*s = append(*s, struct {
		name string
		stop func() error
	}{name, stop})
}

func (s stops) run(log *slog.Logger) error {
	var errs []error
	for _, part := range slices.Backward(s) {
		log.Debug("stopping", "part", part.name)
		if err := part.stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
		}
	}
	return errors.Join(errs...)
}

// background starts fn, and returns the stop that ends its context, waits for it
// and gives its error.
func background(fn func(context.Context) error) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = fn(ctx) })
	return func() error {
		cancel()
		wg.Wait()
		return err
	}
}
