package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"verdict/configs"
	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/policy"
	"verdict/internal/retry"
	"verdict/metrics"
)

// DecideGroup is appended to kafka.group_id to name the group of `decide`, which reads
// other topics than `run`.
const DecideGroup = "-decide"

// Decide is the service that makes decisions from check results. It consumes until ctx
// ends, and then stops its parts in the reverse order of their start:
//
//	not ready ─► consumer (stop fetching, drain, commit, leave the group)
//	          ─► publisher (flush) ─► connections ─► admin server
func Decide(ctx context.Context, cfg configs.Config, policies policy.Set, stateTopic string, o Options) (err error) {
	var stops stops
	defer func() { err = errors.Join(err, stops.run(o.Log)) }()

	s, err := newService(cfg, o, &stops)
	if err != nil {
		return err
	}
	s.kafka.pause = s.showKafkaPause // there are no calls to hold
	if err := awaitState(ctx, s.connection, cfg.Kafka.Topics.CheckResults, stateTopic, o.Log); err != nil || ctx.Err() != nil {
		return err
	}

	decider, err := policy.New(policy.Options{
		Policies: policies, Publisher: s.publisher, Log: s.connection, State: stateTopic,
		Decisions: cfg.Kafka.Topics.Decisions, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		MaxBytes: int64(cfg.Processor.MaxPendingBytes),
		Metrics:  metrics.NewPolicy(o.Registry), Logger: o.Log, Instance: instance(),
	})
	if err != nil {
		return err
	}
	return s.consume(ctx, cfg.Kafka.GroupID+DecideGroup, []string{cfg.Kafka.Topics.CheckResults}, decideHandler{decider},
		slog.String("state_topic", stateTopic))
}

// awaitState waits until Kafka lets it check the topic of counts. It returns an error
// if the topic is unfit, which waiting would not change, and nil if ctx ends.
func awaitState(ctx context.Context, connection *broker.Connection, input, state string, log *slog.Logger) error {
	for logged := false; ; logged = true {
		err := policy.CheckTopics(ctx, connection, input, state)
		if fault, ok := errors.AsType[*policy.TopicFault](err); ok {
			return fault
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !logged {
			log.Warn("the state topic cannot be checked; waiting for Kafka", "err", err)
		}
		if retry.Sleep(ctx, time.Second) != nil {
			return nil
		}
	}
}

// decideHandler hands the consumer's records to the decider.
type decideHandler struct{ decider *policy.Decider }

func (decideHandler) Assigned(int, int) {}

func (h decideHandler) Accept(ctx context.Context, claim *consumer.Claim, rec decision.Record, _ decision.Progress) error {
	return h.decider.Accept(ctx, claim, rec)
}

func (h decideHandler) Drain(ctx context.Context, claims []*consumer.Claim) {
	all := make([]policy.Claim, len(claims))
	for i, claim := range claims {
		all[i] = claim
	}
	h.decider.Drain(ctx, all)
}
