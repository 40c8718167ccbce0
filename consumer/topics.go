package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/retry"
)

// awaitTopics waits until every topic exists, or ctx ends.
func (c *Consumer) awaitTopics(ctx context.Context) error {
	for {
		counts, missing, err := c.countPartitions(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			c.health.failed(PartMetadata, err)
		case len(missing) > 0:
			c.health.failed(PartTopics, fmt.Errorf("topic %s does not exist; create it (`verdict topics`) or correct kafka.topics", strings.Join(missing, ", ")))
			c.health.recovered(PartMetadata)
		default:
			c.health.recovered(PartMetadata)
			c.health.recovered(PartTopics)
		}
		c.noteInitialPartitions(counts, missing)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if err := retry.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// noteInitialPartitions records how many partitions the topics had when they
// were first seen: none if the topic was missing.
func (c *Consumer) noteInitialPartitions(counts map[string]int, missing []string) {
	for topic, n := range counts {
		if _, seen := c.initialPartitions[topic]; !seen {
			c.initialPartitions[topic] = n
		}
	}
	for _, topic := range missing {
		c.initialPartitions[topic] = 0
	}
}

// countPartitions counts the partitions of each topic, and names the topics that
// are missing.
func (c *Consumer) countPartitions(ctx context.Context) (counts map[string]int, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	meta, err := c.opts.Client.Metadata(ctx, &kafka.MetadataRequest{Topics: c.opts.Topics})
	if err != nil {
		return nil, nil, fmt.Errorf("read the partitions of topics %s: %w", strings.Join(c.opts.Topics, ", "), err)
	}
	missing = slices.Clone(c.opts.Topics)
	counts = make(map[string]int, len(missing))
	for _, topic := range meta.Topics {
		if topic.Error != nil {
			if !errors.Is(topic.Error, kafka.UnknownTopicOrPartition) {
				return nil, nil, fmt.Errorf("read the partitions of topic %s: %w", topic.Name, topic.Error)
			}
			continue
		}
		counts[topic.Name] = len(topic.Partitions)
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == topic.Name })
	}
	return counts, missing, nil
}

// sum returns the number of partitions of all topics.
func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}
