package store

import (
	"context"
	"encoding/hex"
	"fmt"

	"verdict/internal/broker"
)

// TopicID returns how keys of the ledger name a topic: by its ID, so that one that was made
// again is another one, or by its name where the cluster has no IDs. The error of a topic
// that does not exist is broker.ErrNoTopic.
func TopicID(ctx context.Context, c *broker.Connection, topic string) (string, error) {
	ids, err := c.TopicIDs(ctx, topic)
	if err != nil {
		return "", err
	}
	id, exists := ids[topic]
	switch {
	case !exists:
		return "", fmt.Errorf("topic %s: %w", topic, broker.ErrNoTopic)
	case id == (broker.TopicID{}):
		return topic, nil
	}
	return hex.EncodeToString(id[:]), nil
}
