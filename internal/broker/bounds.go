package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// ErrNoTopic is the error for a topic that does not exist.
var ErrNoTopic = errors.New("there is no such topic")

func missingTopic(topic string) error {
	return fmt.Errorf("topic %s: %w: create it (`verdict topics`), or correct kafka.topics or kafka.brokers", topic, ErrNoTopic)
}

// Bound is where a partition begins and ends.
type Bound struct {
	// First is the offset of the oldest record that the partition still has.
	First int64
	// End is the last stable offset: the next committed record will have this
	// offset or a later one.
	End int64
}

// Bounds returns where each partition of a topic begins and ends now. It retries
// transient errors until ctx ends; a missing topic or right is an error.
func (c *Connection) Bounds(ctx context.Context, topic string) (map[int]Bound, error) {
	var bounds map[int]Bound
	err := retryTransient(ctx, nil, func() (err error) {
		bounds, err = c.bounds(ctx, topic)
		return err
	})
	return bounds, err
}

func (c *Connection) bounds(ctx context.Context, topic string) (map[int]Bound, error) {
	counts, missing, err := Partitions(ctx, c.client, topic)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 || counts[topic] == 0 {
		return nil, missingTopic(topic)
	}
	var requests []kafka.OffsetRequest
	for partition := range counts[topic] {
		requests = append(requests, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	}
	found, err := c.listOffsets(ctx, topic, requests)
	if err != nil {
		return nil, err
	}
	bounds := make(map[int]Bound, len(found))
	for _, p := range found {
		bounds[p.Partition] = Bound{First: p.FirstOffset, End: p.LastOffset}
	}
	return bounds, nil
}

// offsetsAt returns the first offset of each partition whose record has this time
// or a later one. It leaves out a partition without such a record.
func (c *Connection) offsetsAt(ctx context.Context, topic string, partitions map[int]Bound, at time.Time) (map[int]int64, error) {
	if at.UnixMilli() < 0 {
		at = time.UnixMilli(0) // in the protocol a negative time asks for something else
	}
	var requests []kafka.OffsetRequest
	for partition := range partitions {
		requests = append(requests, kafka.TimeOffsetOf(partition, at))
	}
	found, err := c.listOffsets(ctx, topic, requests)
	if err != nil {
		return nil, err
	}
	offsets := make(map[int]int64, len(found))
	for _, p := range found {
		for offset := range p.Offsets {
			if offset >= 0 {
				offsets[p.Partition] = offset
			}
		}
	}
	return offsets, nil
}

func (c *Connection) listOffsets(ctx context.Context, topic string, requests []kafka.OffsetRequest) ([]kafka.PartitionOffsets, error) {
	answer, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: requests}, IsolationLevel: kafka.ReadCommitted,
	})
	if err != nil {
		return nil, fmt.Errorf("read the offsets of topic %s: %w%s", topic, err, hint(err))
	}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("read the offsets of %s/%d: %w%s", topic, p.Partition, p.Error, hint(p.Error))
		}
	}
	return answer.Topics[topic], nil
}
