package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// debuggingReplica is the replica ID with which ListOffsets returns the end of a
// leader's log instead of its high watermark (Kafka's
// ListOffsetsRequest.DEBUGGING_REPLICA_ID).
const debuggingReplica = -2

// LogEnds returns where the log of each partition of a topic ends, including the
// records that are not replicated yet. Readers don't get those yet but usually
// will in a moment, so Bounds alone would miss what a producer has just written.
// It retries transient errors until ctx ends.
func (c *Connection) LogEnds(ctx context.Context, topic string) (map[int]int64, error) {
	var ends map[int]int64
	err := retryTransient(ctx, nil, func() (err error) {
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
		return nil, missingTopic(topic)
	}
	request := listoffsets.RequestTopic{Topic: topic}
	for partition := range counts[topic] {
		request.Partitions = append(request.Partitions, listoffsets.RequestPartition{
			Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: kafka.LastOffset,
		})
	}
	ctx, cancel := context.WithTimeout(ctx, c.client.Timeout)
	defer cancel()
	answer, err := c.client.Transport.RoundTrip(ctx, c.client.Addr, &listoffsets.Request{
		ReplicaID: debuggingReplica, Topics: []listoffsets.RequestTopic{request},
	})
	if err != nil {
		return nil, fmt.Errorf("read the log ends of topic %s: %w%s", topic, err, hint(err))
	}
	ends := make(map[int]int64, counts[topic])
	for _, t := range answer.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				err := kafka.Error(p.ErrorCode)
				return nil, fmt.Errorf("read the log end of %s/%d: %w%s", topic, p.Partition, err, hint(err))
			}
			ends[int(p.Partition)] = p.Offset
		}
	}
	for partition := range counts[topic] {
		if _, ok := ends[partition]; !ok {
			return nil, fmt.Errorf("read the log end of %s/%d: the broker's answer leaves it out", topic, partition)
		}
	}
	return ends, nil
}
