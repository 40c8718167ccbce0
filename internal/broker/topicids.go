package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TopicID tells a topic from another one that had its name before. It is zero in Kafka
// before 2.8, which has none.
type TopicID [16]byte

// metadataWithIDs is the version of a metadata request whose answer has the topics' IDs.
// kafka-go has only older ones.
const metadataWithIDs = 10

// maxMetadata bounds the answer in bytes: that of thousands of partitions.
const maxMetadata = 16 << 20

// TopicIDs returns the IDs of topics. It leaves out those that do not exist. It makes one
// try, at any of the brokers.
func (c *Connection) TopicIDs(ctx context.Context, topics ...string) (ids map[string]TopicID, err error) {
	for _, address := range c.options.Brokers {
		err = c.fetches.use(ctx, address, func(conn *fetchConn) error {
			ids, err = conn.topicIDs(c.options.ClientID, topics)
			return err
		})
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the topics' IDs: %w%s", err, hint(err))
	}
	return ids, nil
}

func (c *fetchConn) topicIDs(clientID string, topics []string) (map[string]TopicID, error) {
	ids := make(map[string]TopicID, len(topics))
	if c.newest[protocol.Metadata] < metadataWithIDs {
		for _, topic := range topics {
			ids[topic] = TopicID{}
		}
		return ids, nil
	}
	request := kmsg.NewPtrMetadataRequest()
	request.Version = metadataWithIDs
	for _, topic := range topics {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = &topic
		request.Topics = append(request.Topics, one)
	}
	c.requests++
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	if _, err := c.Write(format.AppendRequest(nil, request, c.requests)); err != nil {
		return nil, err
	}
	var head [9]byte // size, number, and no tagged fields
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	size, id := int32(binary.BigEndian.Uint32(head[:]))-5, int32(binary.BigEndian.Uint32(head[4:]))
	if size < 0 || size > maxMetadata || id != c.requests || head[8] != 0 {
		return nil, fmt.Errorf("the broker's answer is not one about topics: it has %d bytes and the number %d of %d", size, id, c.requests)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	answer := request.ResponseKind().(*kmsg.MetadataResponse)
	if err := answer.ReadFrom(body); err != nil {
		return nil, err
	}
	for _, topic := range answer.Topics {
		switch err := kafka.Error(topic.ErrorCode); {
		case err == kafka.UnknownTopicOrPartition:
		case err != 0:
			return nil, err
		case topic.Topic != nil:
			ids[*topic.Topic] = topic.TopicID
		}
	}
	return ids, nil
}
