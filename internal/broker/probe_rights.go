package broker

import (
	"fmt"
	"math"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// MayDescribe returns an error if this user may not describe the topic. A Client
// shows such a topic as missing. It returns nil for a topic that does not exist.
func (p *Probe) MayDescribe(topic string) error {
	answer, err := p.conn.RoundTrip(&metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return err
	}
	for _, t := range answer.(*metadata.Response).Topics {
		if kafka.Error(t.ErrorCode) == kafka.TopicAuthorizationFailed {
			return kafka.TopicAuthorizationFailed
		}
	}
	return nil
}

// noPartition is the number of a partition that no topic has.
const noPartition = math.MaxInt32

// MayWrite returns an error if this user may not write to the topic. It writes
// nothing: it tries to write to a partition that does not exist, and the broker
// tells those who may write that the partition is missing, and others that they
// may not.
func (p *Probe) MayWrite(topic string) error {
	req := &produce.Request{Acks: -1, Timeout: 1000, Topics: []produce.RequestTopic{{
		Topic: topic,
		Partitions: []produce.RequestPartition{{
			Partition: noPartition,
			RecordSet: protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(protocol.Record{Value: protocol.NewBytes([]byte{})})},
		}},
	}}}
	req.Prepare(2)
	answer, err := p.conn.RoundTrip(req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*produce.Response).Topics {
		for _, partition := range t.Partitions {
			return unlessMissing(partition.ErrorCode)
		}
	}
	return fmt.Errorf("the broker's answer leaves out topic %s", topic)
}

// MayRead returns an error if this user may not read the topic. Like MayWrite it
// tries a partition that does not exist.
func (p *Probe) MayRead(topic string) error {
	answer, err := p.conn.RoundTrip(&fetch.Request{
		ReplicaID: -1, MaxBytes: 1, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{
			Topic:      topic,
			Partitions: []fetch.RequestPartition{{Partition: noPartition, CurrentLeaderEpoch: -1, PartitionMaxBytes: 1}},
		}},
	})
	if err != nil {
		return err
	}
	for _, t := range answer.(*fetch.Response).Topics {
		for _, partition := range t.Partitions {
			return unlessMissing(partition.ErrorCode)
		}
	}
	return fmt.Errorf("the broker's answer leaves out topic %s", topic)
}

// MayJoin returns an error if this user may not join the group, or commit for it,
// which takes the same right. It changes nothing: it sends a heartbeat of a
// member that the group does not have, and the broker tells those who may join
// that the member is unknown, and others that they may not.
func (p *Probe) MayJoin(group string) error {
	answer, err := p.conn.RoundTrip(&heartbeat.Request{GroupID: group, GenerationID: math.MaxInt32, MemberID: "verdict-check"})
	if err != nil {
		return err
	}
	// Any broker checks the right before anything else, so any other code means
	// that this user has it.
	code := kafka.Error(answer.(*heartbeat.Response).ErrorCode)
	if code == kafka.GroupAuthorizationFailed || code == kafka.InvalidGroupId {
		return code
	}
	return nil
}

// unlessMissing returns an error code as an error, unless it says that the
// partition does not exist.
func unlessMissing(code int16) error {
	if err := kafka.Error(code); code != 0 && err != kafka.UnknownTopicOrPartition {
		return err
	}
	return nil
}
