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

// madeAgain returns the topics that were deleted and created again since they were looked
// at last, once: what was known of their offsets is about others.
func (c *Consumer) madeAgain(ctx context.Context) (topics []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ids, err := c.opts.TopicIDs(ctx, c.opts.Topics...)
	if err != nil {
		return nil, err
	}
	for topic, id := range ids {
		if before, seen := c.topicIDs[topic]; seen && before != id {
			topics = append(topics, topic)
		}
		c.topicIDs[topic] = id
	}
	return topics, nil
}

// startOver lets go of what is known of topics that were deleted, and made again or not, so
// that no commit that comes late is about topics that have their names now.
func (c *Consumer) startOver(claims []*Claim, topics []string, again bool) {
	c.noteInitialPartitions(nil, topics)
	for _, claim := range claims {
		if !slices.Contains(topics, claim.Topic) {
			continue
		}
		next, lost := claim.startOver(again)
		c.seenBelow[topicPartition{claim.Topic, claim.Partition}] = next
		if lost > 0 {
			c.log.Error("a topic was deleted before all of its decisions were carried out", "topic", claim.Topic, "partition", claim.Partition, "next", next, "lost", lost)
			c.opts.Metrics.RecordsLost.WithLabelValues(claim.Topic).Add(float64(lost))
		}
	}
}

// sum returns the number of partitions of all topics.
func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}
