package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/decision"
)

// restoreTimeout bounds one request for the offsets of a generation's partitions.
const restoreTimeout = 10 * time.Second

type topicPartition struct {
	topic     string
	partition int
}

// newClaims returns the claims of a generation, which are yet to be restored.
func newClaims(gen *kafka.Generation, onChange func()) (claims []*Claim) {
	for topic, partitions := range gen.Assignments {
		for _, p := range partitions {
			claims = append(claims, &Claim{Topic: topic, Partition: p.ID, onChange: onChange})
		}
	}
	return claims
}

// restoreAll puts each claim where its partition's commit left off.
func (c *Consumer) restoreAll(ctx context.Context, claims []*Claim) error {
	if len(claims) == 0 {
		return nil
	}
	bounds, err := c.listOffsets(ctx, claims, kafka.FirstOffset, kafka.LastOffset)
	if err != nil {
		return err
	}
	commits, err := c.fetchCommits(ctx, claims)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		key := topicPartition{claim.Topic, claim.Partition}
		bound, hasBound := bounds[key]
		commit, hasCommit := commits[key]
		if !hasBound || !hasCommit {
			return fmt.Errorf("read the offsets of %s/%d: the brokers' answer leaves it out", claim.Topic, claim.Partition)
		}
		c.restoreClaim(claim, commit, bound)
	}
	return nil
}

// restoreClaim decides where a claim begins and restores what the commit's
// metadata says about the offsets from there on.
func (c *Consumer) restoreClaim(claim *Claim, commit kafka.OffsetFetchPartition, bound kafka.PartitionOffsets) {
	claim.end = bound.LastOffset
	claim.span, claim.metadata = int64(c.opts.MaxUncommitted), c.metadataSize
	claim.open = make(map[int64]decision.Progress)
	log := c.log.With("topic", claim.Topic, "partition", claim.Partition)

	base, metadata := commit.CommittedOffset, commit.Metadata
	settled := settledEnd(commit)
	switch {
	case base < 0:
		base, metadata = bound.FirstOffset, ""
		if c.opts.StartLatest && claim.Partition < c.initialPartitions[claim.Topic] {
			base = bound.LastOffset
		}
		// Commit it even if nothing settles: a group that began at the end and was
		// restarted must not begin at a later end.
		claim.changedAt = time.Now()
	case settled > bound.LastOffset:
		log.Error("the commit reaches beyond the partition's end, so the topic was created again or lost records; reading it from its start, and checking each task before it is completed",
			"committed", base, "settled", settled, "end", bound.LastOffset)
		claim.maybeAppliedBelow = settled
		base, metadata = bound.FirstOffset, ""
		claim.changedAt = time.Now()
	case base < bound.FirstOffset:
		log.Error("decisions were deleted by the topic's retention before they were read; raise retention.ms, or add instances",
			"committed", base, "first", bound.FirstOffset, "lost", bound.FirstOffset-base)
		base = bound.FirstOffset
		claim.changedAt = time.Now()
	}
	tracker, open, err := offsets.Restore(commit.CommittedOffset, metadata, base)
	if errors.Is(err, offsets.ErrMetadata) {
		log.Warn("ignoring commit metadata that Verdict did not write", "committed", base)
	}
	claim.tracker = tracker
	for offset, p := range open {
		if !tracker.Settled(offset) {
			claim.open[offset] = p
		}
	}
}

// settledEnd returns the end of what a commit says is settled.
func settledEnd(commit kafka.OffsetFetchPartition) int64 {
	tracker, _, _ := offsets.Restore(commit.CommittedOffset, commit.Metadata, commit.CommittedOffset)
	return tracker.Top()
}

// listOffsets returns the offsets of the claims' partitions at the given
// timestamps: kafka.FirstOffset, kafka.LastOffset or both.
func (c *Consumer) listOffsets(ctx context.Context, claims []*Claim, timestamps ...int64) (map[topicPartition]kafka.PartitionOffsets, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	topics := make(map[string][]kafka.OffsetRequest)
	for _, claim := range claims {
		for _, timestamp := range timestamps {
			topics[claim.Topic] = append(topics[claim.Topic], kafka.OffsetRequest{Partition: claim.Partition, Timestamp: timestamp})
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

// fetchCommits returns what the group committed for the claims' partitions.
func (c *Consumer) fetchCommits(ctx context.Context, claims []*Claim) (map[topicPartition]kafka.OffsetFetchPartition, error) {
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
