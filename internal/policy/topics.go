package policy

import (
	"context"
	"fmt"

	"verdict/internal/broker"
)

// TopicFault says why a topic can't be used until somebody changes it.
type TopicFault struct{ Problem string }

// Error returns the problem and its fix.
func (f *TopicFault) Error() string { return f.Problem }

// Topic returns how to create the state topic. It needs at least as many partitions
// as the input.
func Topic(name string, partitions, replicas int) broker.Topic {
	return broker.Topic{
		Name: name, Partitions: partitions, ReplicationFactor: replicas,
		Configs: map[string]string{
			"cleanup.policy": "compact",
			// Keeps both states of a task long enough: one that was written late by
			// an instance that had lost the partition, and the newer one.
			"min.compaction.lag.ms": "86400000",
		},
	}
}

// CheckTopics returns a *TopicFault if the state topic can't be used with the input.
// A missing input is no fault: the consumer waits for it.
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
		return &TopicFault{fmt.Sprintf("topic %s has %d partitions, and %s has %d: each partition of the input needs one for its counts; add partitions (kafka-topics.sh --alter --topic %s --partitions %d)",
			state, have, input, in, state, in)}
	}
	cleanup, err := broker.CleanupPolicy(ctx, c.Client(), state)
	if err != nil {
		return err
	}
	if cleanup != "compact" && cleanup != "" {
		return &TopicFault{fmt.Sprintf("topic %s has cleanup.policy=%s, which would delete counts; set it to compact (kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact)",
			state, cleanup, state)}
	}
	return nil
}
