package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// GroupOffset is what a consumer group has committed for a partition.
type GroupOffset struct {
	Offset   int64
	Metadata string
}

// GroupOffsets returns what a group has committed for a topic, by partition. It
// leaves out a partition without a commit. The group may have no members. It
// retries transient errors until ctx ends; a missing topic or right is an error.
func (c *Connection) GroupOffsets(ctx context.Context, group, topic string) (map[int]GroupOffset, error) {
	var offsets map[int]GroupOffset
	err := retryTransientOfGroup(ctx, func() (err error) {
		offsets, err = c.groupOffsets(ctx, group, topic)
		return err
	})
	return offsets, err
}

// retryTransientOfGroup is retryTransient, but a missing right to the group is
// permanent.
func retryTransientOfGroup(ctx context.Context, do func() error) error {
	var refused error
	err := retryTransient(ctx, nil, func() error {
		err := do()
		if errors.Is(err, kafka.GroupAuthorizationFailed) {
			refused = err
			return nil
		}
		return err
	})
	return cmp.Or(err, refused)
}

func (c *Connection) groupOffsets(ctx context.Context, group, topic string) (map[int]GroupOffset, error) {
	counts, missing, err := Partitions(ctx, c.client, topic)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("topic %s: %w", topic, ErrNoTopic)
	}
	partitions := make([]int, counts[topic])
	for i := range partitions {
		partitions[i] = i
	}
	answer, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = answer.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w%s", group, err, hint(err))
	}
	offsets := make(map[int]GroupOffset)
	for _, p := range answer.Topics[topic] {
		if p.Error != nil && !errors.Is(p.Error, kafka.GroupIdNotFound) {
			return nil, fmt.Errorf("read the offsets of group %s for %s/%d: %w", group, topic, p.Partition, p.Error)
		}
		if p.Error == nil && p.CommittedOffset >= 0 {
			offsets[p.Partition] = GroupOffset{Offset: p.CommittedOffset, Metadata: p.Metadata}
		}
	}
	return offsets, nil
}

// CommitGroupOffsets commits offsets for a group without members. It retries
// transient errors until ctx ends; a missing topic or right is an error.
func (c *Connection) CommitGroupOffsets(ctx context.Context, group, topic string, offsets map[int]GroupOffset) error {
	commits := make([]kafka.OffsetCommit, 0, len(offsets))
	for partition, o := range offsets {
		commits = append(commits, kafka.OffsetCommit{Partition: partition, Offset: o.Offset, Metadata: o.Metadata})
	}
	return retryTransientOfGroup(ctx, func() error {
		// Generation -1 and no member: a commit from outside the group.
		answer, err := c.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
		})
		if err != nil {
			return fmt.Errorf("commit the offsets of group %s: %w%s", group, err, hint(err))
		}
		for _, p := range answer.Topics[topic] {
			if p.Error != nil {
				return fmt.Errorf("commit the offset of group %s for %s/%d: %w", group, topic, p.Partition, p.Error)
			}
		}
		return nil
	})
}
