package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
)

// TopicState is how a topic is.
type TopicState struct {
	Err               error // why it can't be described; kafka.UnknownTopicOrPartition: there is none
	Partitions        int
	ReplicationFactor int // of the partition with the fewest replicas
	InSync            int // replicas in sync, of the partition with the fewest
	Leaderless        int // partitions without a leader
	// Configs are the settings in force by their Kafka names, where they may be
	// read; ConfigErr says why not.
	Configs   map[string]string
	ConfigErr error
}

// Describe is how each of the topics is. It fails only where no answer came.
func Describe(ctx context.Context, client *kafka.Client, topics ...string) (map[string]TopicState, error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	states := make(map[string]TopicState, len(topics))
	for _, name := range topics {
		states[name] = TopicState{Err: kafka.UnknownTopicOrPartition} // unless the answer knows it
	}
	var present []kafka.DescribeConfigRequestResource
	for _, t := range meta.Topics {
		if !slices.Contains(topics, t.Name) {
			continue
		}
		s := TopicState{Err: t.Error, Partitions: len(t.Partitions)}
		for i, p := range t.Partitions {
			if i == 0 || len(p.Replicas) < s.ReplicationFactor {
				s.ReplicationFactor = len(p.Replicas)
			}
			if i == 0 || len(p.Isr) < s.InSync {
				s.InSync = len(p.Isr)
			}
			if errors.Is(p.Error, kafka.LeaderNotAvailable) || p.Leader.Host == "" {
				s.Leaderless++
			}
		}
		states[t.Name] = s
		if t.Error == nil {
			present = append(present, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t.Name})
		}
	}
	if len(present) == 0 {
		return states, nil
	}
	configs, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: present})
	for _, r := range present {
		s := states[r.ResourceName]
		s.ConfigErr = err
		states[r.ResourceName] = s
	}
	if err != nil {
		return states, nil
	}
	for _, r := range configs.Resources {
		s := states[r.ResourceName]
		s.Configs, s.ConfigErr = settings(r)
		states[r.ResourceName] = s
	}
	return states, nil
}

// settings are the settings of one answer by their names.
func settings(r kafka.DescribeConfigResponseResource) (map[string]string, error) {
	if r.Error != nil {
		return nil, r.Error
	}
	m := make(map[string]string, len(r.ConfigEntries))
	for _, e := range r.ConfigEntries {
		m[e.ConfigName] = e.ConfigValue
	}
	return m, nil
}

// NodeSettings are the settings of one of the cluster's brokers by their
// names.
func NodeSettings(ctx context.Context, client *kafka.Client, node int) (map[string]string, error) {
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeBroker, ResourceName: fmt.Sprint(node)},
	}})
	if err != nil {
		return nil, fmt.Errorf("read a broker's settings: %w", err)
	}
	for _, r := range res.Resources {
		return settings(r)
	}
	return nil, errors.New("read a broker's settings: the broker gave no answer")
}

// GroupState is how a consumer group is.
type GroupState struct {
	State    string // as Kafka calls it: Dead (there is none), Empty, PreparingRebalance, CompletingRebalance, Stable
	Type     string // of its protocol: consumer, or another program's; empty without members
	Protocol string // by which partitions are assigned; empty unless Stable
	Members  []kafka.DescribeGroupsResponseMember
}

// DescribeGroup is how a group is. While the cluster moves the group, or makes
// the topic of its first one, it asks again until ctx ends.
func DescribeGroup(ctx context.Context, client *kafka.Client, group string) (GroupState, error) {
	for {
		s, err := describeGroup(ctx, client, group)
		if code, ok := errors.AsType[kafka.Error](err); !ok || !code.Temporary() || !sleep(ctx, askAgain) {
			return s, err
		}
	}
}

// askAgain is the wait before a coordinator that is not ready is asked again.
const askAgain = 200 * time.Millisecond

func describeGroup(ctx context.Context, client *kafka.Client, group string) (GroupState, error) {
	// Client.DescribeGroups decodes members and leaves the protocol out.
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &describegroups.Request{Groups: []string{group}})
	if err != nil {
		return GroupState{}, fmt.Errorf("describe group %s: %w", group, err)
	}
	var s GroupState
	for _, g := range answer.(*describegroups.Response).Groups {
		if g.ErrorCode != 0 {
			return GroupState{}, fmt.Errorf("describe group %s: %w", group, kafka.Error(g.ErrorCode))
		}
		s = GroupState{State: g.GroupState, Type: g.ProtocolType, Protocol: g.ProtocolData}
	}
	if s.Type != "consumer" {
		return s, nil // its members can't be read
	}
	res, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return s, fmt.Errorf("describe group %s: %w", group, err)
	}
	for _, g := range res.Groups {
		if g.Error != nil {
			return s, fmt.Errorf("describe group %s: %w", group, g.Error)
		}
		s.Members = g.Members
	}
	return s, nil
}
