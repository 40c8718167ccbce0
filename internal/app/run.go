package app

import (
	"context"
	"errors"
	"log/slog"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/decision"
	"verdict/internal/decision/codec"
	"verdict/processor"
)

// Run is the service that carries decisions out. It consumes until ctx ends, and then
// stops its parts in the reverse order of their start:
//
//	not ready ─► consumer (stop fetching, drain, commit, leave the group)
//	          ─► processor ─► publisher (flush) ─► connections ─► admin server
func Run(ctx context.Context, cfg configs.Config, o Options) (err error) {
	var stops stops
	defer func() { err = errors.Join(err, stops.run(o.Log)) }()

	key, err := NewKey(cfg.API)
	if err != nil {
		return err
	}
	s, err := newService(cfg, o, &stops)
	if err != nil {
		return err
	}

	client, err := NewClient(cfg.API, key, cfg.Processor.Workers+1, o.DialAPI) // one for probes
	if err != nil {
		return err
	}
	stops.add("API connections", func() error { client.Close(); return nil })

	decoder, err := NewDecoder(cfg.Decode, codec.Options{DialContext: o.DialSchemas, Logger: o.Log, OnState: s.kafka.setRegistry})
	if err != nil {
		return err
	}
	stops.add("Schema Registry connections", func() error { decoder.Close(); return nil })

	held := make(chan processor.Stop, maxStops)
	work, err := processor.New(processor.Options{
		Stopped: func(stop processor.Stop) {
			select {
			case held <- stop:
			default: // this instance holds it
			}
		},
		API: client, Publisher: s.publisher, Metrics: s.metrics, Logger: o.Log, Instance: instance(), Decode: decoder.Decode,
		Results: cfg.Kafka.Topics.Results, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		RateLimit: cfg.API.RateLimit, Burst: cfg.API.Burst, GroupRate: cfg.API.RateLimitScope == configs.ScopeGroup,
		Workers: cfg.Processor.Workers, MaxPending: cfg.Processor.MaxPending, MaxBytes: int64(cfg.Processor.MaxPendingBytes) * (readAheadPart - 1) / (2 * readAheadPart), // of each lane
		MaxAttempts: cfg.Processor.MaxAttempts, Patience: cfg.Processor.Patience, Guard: cfg.Processor.Guard,
		WithoutWhoAmI: cfg.API.Probe == configs.ProbeNone,
		BackoffMin:    cfg.Processor.BackoffMin, BackoffMax: cfg.Processor.BackoffMax,
		BackfillMinShare: cfg.Processor.BackfillMinShare,
		Preflight:        cfg.Processor.Preflight,
		OnConflict:       cfg.Processor.OnConflict,
		ProfileOutcome:   cfg.Processor.ProfileOutcome,
		ReloadKey:        key.Reload,
		Tracing:          tracing(o.Tracer, cfg),
	})
	if err != nil {
		return err
	}
	s.kafka.pause = func(on bool) { work.Pause(decision.PausedKafka, on) }
	s.kafka.show = s.showKafkaPause
	stops.add("processor", background(func(ctx context.Context) error { work.Run(ctx); return nil }))

	lanes := make(map[string]decision.Lane)
	for _, in := range cfg.Kafka.Topics.Lanes() {
		lanes[in.Topic] = in.Lane
		s.metrics.TopicInfo.WithLabelValues(in.Topic, in.Lane.String()).Set(1)
		s.metrics.RecordsLost.WithLabelValues(in.Topic)
	}
	s.status.lanes = lanes
	s.status.work.Store(work)
	obey, err := newOrders(cfg, s, work, held)
	if err != nil {
		return err
	}
	stops.add("ledger", background(obey.follow))
	stops.add("instance in the ledger", background(obey.tell))
	stops.add("batches that stop by themselves", background(obey.stopBatches))

	s.metrics.Backlog.From(func(lane decision.Lane) int64 { return s.status.backlog()[lane] })
	select { // no call before it is known what is held
	case <-obey.known:
	case <-ctx.Done():
	}
	return s.consume(ctx, cfg.Kafka.GroupID, cfg.Kafka.Topics.Inputs(), runHandler{work, lanes}, slog.String("api", cfg.API.BaseURL))
}

// runHandler hands the consumer's records to the processor. The two do not know about
// each other.
type runHandler struct {
	work  *processor.Processor
	lanes map[string]decision.Lane // by topic
}

func (h runHandler) Assigned(owned, total int) { h.work.Assigned(owned, total) }

func (h runHandler) Accept(ctx context.Context, claim *consumer.Claim, rec decision.Record, before decision.Progress) error {
	return h.work.Submit(ctx, h.lanes[rec.Topic], claim, rec, before)
}

func (h runHandler) Drain(ctx context.Context, claims []*consumer.Claim) {
	all := make([]processor.Claim, len(claims))
	for i, claim := range claims {
		all[i] = claim
	}
	h.work.Drain(ctx, all)
}
