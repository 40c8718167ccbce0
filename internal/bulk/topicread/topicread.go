// Package topicread holds what the packages that read topics without a consumer group
// share: follow, explain and redrive. The reading itself is left to package broker.
package topicread

import (
	"context"
	"time"

	"verdict/internal/broker"
)

// AnswerTimeout is how long a command waits for the first answer of Kafka, so that
// a wrong address is an error and not an endless wait.
const AnswerTimeout = 30 * time.Second

// Bounds returns the bounds of a topic, or an error after AnswerTimeout.
func Bounds(ctx context.Context, c *broker.Connection, topic string) (map[int]broker.Bound, error) {
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	return c.Bounds(ctx, topic)
}

// ClockSkew is how far the clocks of the machines that write records may differ.
const ClockSkew = time.Hour
