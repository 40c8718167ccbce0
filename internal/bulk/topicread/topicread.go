package topicread

import (
	"context"
	"time"

	"verdict/internal/broker"
)

// AnswerTimeout is how long a command waits for Kafka to answer at all: a wrong
// address is to be said, and not to be waited for.
const AnswerTimeout = 30 * time.Second

// Bounds is Connection.Bounds, bounded by AnswerTimeout.
func Bounds(ctx context.Context, c *broker.Connection, topic string) (map[int]broker.Bound, error) {
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	return c.Bounds(ctx, topic)
}

// ClockSkew is by how much the clocks of those who write records may differ.
const ClockSkew = time.Hour
