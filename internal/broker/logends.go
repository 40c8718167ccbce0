package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// debuggingReplica is the replica ID by which ListOffsets tells where a leader's
// log ends, and not where its high watermark is (Kafka's
// ListOffsetsRequest.DEBUGGING_REPLICA_ID).
const debuggingReplica = -2

// LogEnds says where the log of each partition of a topic ends, with the records
// that are not replicated yet: readers don't get those, and will, as a rule, in a
// moment. By Bounds alone what a producer has just left behind would be overlooked.
// What fails is tried again until ctx ends, but for a missing topic or right.
func (c *Connection) LogEnds(ctx context.Context, topic string) (map[int]int64, error) {
	var ends map[int]int64
	err := retry(ctx, nil, func() (err error) {
		ends, err = c.logEnds(ctx, topic)
		return err
	})
	return ends, err
}

func (c *Connection) logEnds(ctx context.Context, topic string) (map[int]int64, error) {
	counts, missing, err := Partitions(ctx, c.client, topic)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 || counts[topic] == 0 {
		return nil, fmt.Errorf("topic %s: %w: create it (`verdict topics`), or correct kafka.topics or kafka.brokers", topic, ErrNoTopic)
	}
	ask := listoffsets.RequestTopic{Topic: topic}
	for partition := range counts[topic] {
		ask.Partitions = append(ask.Partitions, listoffsets.RequestPartition{
			Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: kafka.LastOffset,
		})
	}
	ctx, cancel := context.WithTimeout(ctx, c.client.Timeout)
	defer cancel()
	answer, err := c.client.Transport.RoundTrip(ctx, c.client.Addr, &listoffsets.Request{
		ReplicaID: debuggingReplica, Topics: []listoffsets.RequestTopic{ask},
	})
	if err != nil {
		return nil, fmt.Errorf("look up the ends of %s: %w%s", topic, err, likelyCause(err))
	}
	ends := make(map[int]int64, counts[topic])
	for _, t := range answer.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				err := kafka.Error(p.ErrorCode)
				return nil, fmt.Errorf("look up the end of %s/%d: %w%s", topic, p.Partition, err, likelyCause(err))
			}
			ends[int(p.Partition)] = p.Offset
		}
	}
	for partition := range counts[topic] {
		if _, ok := ends[partition]; !ok {
			return nil, fmt.Errorf("look up the end of %s/%d: the broker gave no answer for it", topic, partition)
		}
	}
	return ends, nil
}

// ClusterID is the ID that the cluster has given itself. What fails is tried again
// until ctx ends.
func (c *Connection) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := retry(ctx, nil, func() error {
		answer, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
		if err != nil {
			return fmt.Errorf("look up the cluster: %w%s", err, likelyCause(err))
		}
		id = answer.ClusterID
		return nil
	})
	return id, err
}
