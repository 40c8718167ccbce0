package policy

import (
	"context"
	"fmt"

	"verdict/internal/broker"
)

// TopicFault is what keeps a topic from being used until somebody changes it.
type TopicFault struct{ Problem string }

// Error is the problem, with what mends it.
func (f *TopicFault) Error() string { return f.Problem }

// Topic is how the state topic is to be created: with the partitions of the input.
func Topic(name string, partitions, replicas int) broker.Topic {
	return broker.Topic{
		Name: name, Partitions: partitions, ReplicationFactor: replicas,
		Configs: map[string]string{
			"cleanup.policy": "compact",
			// A state that was written late by an instance that had lost the
			// partition is told from a newer one while both are there.
			"min.compaction.lag.ms": "86400000",
		},
	}
}

// CheckTopics says by a *TopicFault what keeps the state topic from being used
// with the input. An input that is missing is no fault: it is waited for.
func CheckTopics(ctx context.Context, c *broker.Connection, input, state string) error {
	counts, _, err := broker.Partitions(ctx, c.Client(), input, state)
	if err != nil {
		return err
	}
	in, have := counts[input], counts[state]
	switch {
	case have == 0:
		return &TopicFault{fmt.Sprintf("topic %s does not exist, and counts are kept in it; create it (`verdict topics`)", state)}
	case in > have:
		return &TopicFault{fmt.Sprintf("topic %s has %d partitions, and %s has %d: each partition of the input needs its own for its counts; add partitions (kafka-topics.sh --alter --topic %s --partitions %d)",
			state, have, input, in, state, in)}
	}
	cleanup, err := broker.CleanupPolicy(ctx, c.Client(), state)
	if err != nil {
		return err
	}
	if cleanup != "compact" && cleanup != "" {
		return &TopicFault{fmt.Sprintf("topic %s has cleanup.policy=%s, by which counts would be deleted; set it to compact (kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact)",
			state, cleanup, state)}
	}
	return nil
}
