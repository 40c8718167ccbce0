package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// ErrNoTopic is the error of Bounds and Scan for a topic that does not exist.
var ErrNoTopic = errors.New("there is no such topic")

// Bound says where a partition begins and ends.
type Bound struct {
	// First is the offset of the oldest record that is kept.
	First int64
	// End is the last stable offset: a reader of committed records will get the
	// next one from there on.
	End int64
}

// Bounds says where each partition of a topic begins and ends now. What fails is
// tried again until ctx ends, but for a missing topic or right.
func (c *Connection) Bounds(ctx context.Context, topic string) (map[int]Bound, error) {
	var bounds map[int]Bound
	err := retry(ctx, nil, func() (err error) {
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
		return nil, fmt.Errorf("topic %s: %w: create it (`verdict topics`), or correct kafka.topics or kafka.brokers", topic, ErrNoTopic)
	}
	var ask []kafka.OffsetRequest
	for partition := range counts[topic] {
		ask = append(ask, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	}
	found, err := c.listOffsets(ctx, topic, ask)
	if err != nil {
		return nil, err
	}
	bounds := make(map[int]Bound, len(found))
	for _, p := range found {
		bounds[p.Partition] = Bound{First: p.FirstOffset, End: p.LastOffset}
	}
	return bounds, nil
}

// since is the first offset of each partition whose record is of that time or
// later; a partition without one is left out.
func (c *Connection) since(ctx context.Context, topic string, partitions map[int]Bound, at time.Time) (map[int]int64, error) {
	var ask []kafka.OffsetRequest
	for partition := range partitions {
		ask = append(ask, kafka.TimeOffsetOf(partition, at))
	}
	found, err := c.listOffsets(ctx, topic, ask)
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

func (c *Connection) listOffsets(ctx context.Context, topic string, ask []kafka.OffsetRequest) ([]kafka.PartitionOffsets, error) {
	answer, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: ask}, IsolationLevel: kafka.ReadCommitted,
	})
	if err != nil {
		return nil, fmt.Errorf("look up the offsets of %s: %w%s", topic, err, likelyCause(err))
	}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("look up the offsets of %s/%d: %w%s", topic, p.Partition, p.Error, likelyCause(p.Error))
		}
	}
	return answer.Topics[topic], nil
}
