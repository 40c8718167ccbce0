package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"
	"verdict/internal/retry"

	"github.com/segmentio/kafka-go"
)

type topicPartition struct {
	topic     string
	partition int
}

// offsets asks for the first or last offsets of the claims' partitions.
func (c *Consumer) offsets(ctx context.Context, claims []*Claim, which ...int64) (map[topicPartition]kafka.PartitionOffsets, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	topics := make(map[string][]kafka.OffsetRequest)
	for _, claim := range claims {
		for _, w := range which {
			topics[claim.Topic] = append(topics[claim.Topic], kafka.OffsetRequest{Partition: claim.Partition, Timestamp: w})
		}
	}
	answer, err := c.opts.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: topics, IsolationLevel: kafka.ReadCommitted})
	if err != nil {
		return nil, fmt.Errorf("read the partitions' offsets: %w", err)
	}
	found := make(map[topicPartition]kafka.PartitionOffsets)
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("read the offsets of %s/%d: %w", topic, p.Partition, p.Error)
			}
			found[topicPartition{topic, p.Partition}] = p
		}
	}
	return found, nil
}

// restore makes the claims of a generation, each where its partition's commit
// left off. It tries until it has them all or ctx ends.
func (c *Consumer) restore(ctx context.Context, gen *kafka.Generation, dirty func()) ([]*Claim, error) {
	var claims []*Claim
	for topic, partitions := range gen.Assignments {
		for _, p := range partitions {
			claims = append(claims, &Claim{Topic: topic, Partition: p.ID, dirty: dirty})
		}
	}
	for {
		err := c.restoreAll(ctx, claims)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			c.state.works(PartOffsets)
			return claims, nil
		}
		c.state.failed(PartOffsets, err)
		if err := retry.Sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

func (c *Consumer) restoreAll(ctx context.Context, claims []*Claim) error {
	if len(claims) == 0 {
		return nil
	}
	bounds, err := c.offsets(ctx, claims, kafka.FirstOffset, kafka.LastOffset)
	if err != nil {
		return err
	}
	committed, err := c.committed(ctx, claims)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		key := topicPartition{claim.Topic, claim.Partition}
		bound, ok := bounds[key]
		at, ok2 := committed[key]
		if !ok || !ok2 {
			return fmt.Errorf("the brokers did not say where %s/%d stands", claim.Topic, claim.Partition)
		}
		c.place(claim, at, bound)
	}
	return nil
}

func (c *Consumer) committed(ctx context.Context, claims []*Claim) (map[topicPartition]kafka.OffsetFetchPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	topics := make(map[string][]int)
	for _, claim := range claims {
		topics[claim.Topic] = append(topics[claim.Topic], claim.Partition)
	}
	answer, err := c.opts.Client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: c.opts.GroupID, Topics: topics})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, fmt.Errorf("read the commits of group %s: %w", c.opts.GroupID, err)
	}
	found := make(map[topicPartition]kafka.OffsetFetchPartition)
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("read the commit of %s/%d: %w", topic, p.Partition, p.Error)
			}
			found[topicPartition{topic, p.Partition}] = p
		}
	}
	return found, nil
}

// place decides where a claim begins.
func (c *Consumer) place(claim *Claim, at kafka.OffsetFetchPartition, bound kafka.PartitionOffsets) {
	claim.end = bound.LastOffset
	claim.span = min(int64(c.opts.MaxUncommitted), spanThatFits(c.metadataSize))
	claim.open = make(map[int64]decision.Progress)
	log := c.log.With("topic", claim.Topic, "partition", claim.Partition)

	base, metadata := at.CommittedOffset, at.Metadata
	switch {
	case base < 0:
		base, metadata = bound.FirstOffset, ""
		if c.opts.StartLatest && claim.Partition < c.since[claim.Topic] {
			base = bound.LastOffset
		}
		// Commit it before anything is settled: a group that began at the end
		// and was restarted must not begin at a later end.
		claim.changedAt = time.Now()
	case base < bound.FirstOffset:
		log.Error("decisions were deleted by the topic's retention before they were read; raise retention.ms, or add instances",
			"committed", base, "first", bound.FirstOffset, "lost", bound.FirstOffset-base)
		base = bound.FirstOffset
		claim.changedAt = time.Now()
	case base > bound.LastOffset:
		log.Error("the commit lies beyond the partition's end, so the topic was made anew or lost records; reading it from its start, and looking at each task first",
			"committed", base, "end", bound.LastOffset)
		claim.doubtful = base
		base, metadata = bound.FirstOffset, ""
		claim.changedAt = time.Now()
	}
	t, open, err := restore(at.CommittedOffset, metadata, base, int(claim.span))
	if errors.Is(err, errMetadata) {
		log.Warn("the commit's metadata is not Verdict's; ignored", "committed", base)
	}
	claim.tracker = t
	for offset, p := range open {
		if !t.settledAt(offset) {
			claim.open[offset] = p
		}
	}
}
