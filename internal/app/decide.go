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
	"verdict/metrics"
)

// DecideGroup is appended to kafka.group_id to name the group of `decide`, which
// reads other topics than `run` does.
const DecideGroup = "-decide"

// Decide is the service that decides, built and ended as serve is:
//
//	not ready ─► consumer (stop fetching, drain, commit, leave the group)
//	          ─► publisher (flush) ─► connections ─► admin server
func Decide(ctx context.Context, cfg configs.Config, policies policy.Set, stateTopic string, w Options) (err error) {
	var stops stops
	defer func() { err = errors.Join(err, stops.run(w.Log)) }()

	g, err := newGround(cfg, w, &stops)
	if err != nil {
		return err
	}
	g.kafka.pause = g.showKafka // there are no calls to hold
	if err := awaitState(ctx, g.connection, cfg.Kafka.Topics.CheckResults, stateTopic, w.Log); err != nil || ctx.Err() != nil {
		return err
	}

	decider, err := policy.New(policy.Options{
		Policies: policies, Publisher: g.publisher, Log: g.connection, State: stateTopic,
		Decisions: cfg.Kafka.Topics.Decisions, DeadLetters: cfg.Kafka.Topics.DeadLetters,
		MaxBytes: int64(cfg.Processor.MaxPendingBytes),
		Metrics:  metrics.NewPolicy(w.Registry), Logger: w.Log, Instance: instance(),
	})
	if err != nil {
		return err
	}
	return g.consume(ctx, cfg.Kafka.GroupID+DecideGroup, []string{cfg.Kafka.Topics.CheckResults}, deciding{decider},
		func() bool { return false }, // it makes no calls that could be refused
		slog.String("state_topic", stateTopic))
}

// awaitState waits while Kafka is away, and fails where the state topic is not
// fit for its use, which waiting can't mend.
func awaitState(ctx context.Context, connection *broker.Connection, input, state string, log *slog.Logger) error {
	for said := false; ; said = true {
		err := policy.CheckTopics(ctx, connection, input, state)
		if fault, ok := errors.AsType[*policy.TopicFault](err); ok {
			return fault
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !said {
			log.Warn("Kafka does not answer as it should; waiting", "err", err)
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// deciding hands what the consumer reads to the decider.
type deciding struct{ decider *policy.Decider }

func (deciding) Assigned(int, int) {}

func (d deciding) Accept(ctx context.Context, claim *consumer.Claim, rec decision.Record, _ decision.Progress) error {
	return d.decider.Accept(ctx, claim, rec)
}

func (d deciding) Drain(ctx context.Context, claims []*consumer.Claim) {
	all := make([]policy.Claim, len(claims))
	for i, claim := range claims {
		all[i] = claim
	}
	d.decider.Drain(ctx, all)
}
