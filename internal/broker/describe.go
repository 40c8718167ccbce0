package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"

	"verdict/internal/retry"
)

// TopicState describes an existing topic, or says why it can't be described.
type TopicState struct {
	Err               error // why it can't be described; kafka.UnknownTopicOrPartition: it does not exist
	Partitions        int
	ReplicationFactor int // of the partition with the fewest replicas
	InSync            int // replicas in sync of the partition with the fewest
	Leaderless        int // partitions without a leader
	// Configs are the topic's settings by their Kafka names; nil if they can't
	// be read, and ConfigErr says why.
	Configs   map[string]string
	ConfigErr error
}

// Describe is the function Describe, and retries transient errors until ctx ends.
func (c *Connection) Describe(ctx context.Context, retrying func(err error), topics ...string) (map[string]TopicState, error) {
	var states map[string]TopicState
	err := retryTransient(ctx, retrying, func() (err error) {
		states, err = Describe(ctx, c.client, topics...)
		for topic, s := range states {
			if err == nil && s.Err != nil && !errors.Is(s.Err, kafka.UnknownTopicOrPartition) {
				err = fmt.Errorf("describe topic %s: %w%s", topic, s.Err, hint(s.Err))
			}
		}
		return err
	})
	return states, err
}

// Describe describes topics by their names. It fails only if the cluster does
// not answer.
func Describe(ctx context.Context, client *kafka.Client, topics ...string) (map[string]TopicState, error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("describe topics %s: %w", strings.Join(topics, ", "), err)
	}
	states := make(map[string]TopicState, len(topics))
	for _, name := range topics {
		states[name] = TopicState{Err: kafka.UnknownTopicOrPartition} // unless the answer has it
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

// settings returns the settings in an answer by their names.
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

// NodeSettings returns the settings of one of the cluster's brokers by their
// names.
func NodeSettings(ctx context.Context, client *kafka.Client, node int) (map[string]string, error) {
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeBroker, ResourceName: fmt.Sprint(node)},
	}})
	if err != nil {
		return nil, fmt.Errorf("read the settings of broker %d: %w", node, err)
	}
	for _, r := range res.Resources {
		return settings(r)
	}
	return nil, fmt.Errorf("read the settings of broker %d: the answer leaves it out", node)
}

// ClusterID returns the cluster's ID. It retries transient errors until ctx ends.
func (c *Connection) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := retryTransient(ctx, nil, func() error {
		answer, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
		if err != nil {
			return fmt.Errorf("read the ID of the cluster: %w%s", err, hint(err))
		}
		id = answer.ClusterID
		return nil
	})
	return id, err
}

// GroupState describes a consumer group.
type GroupState struct {
	State    string // Kafka's name for it: Dead (it does not exist), Empty, PreparingRebalance, CompletingRebalance, Stable
	Type     string // of its protocol: consumer, or another program's; empty without members
	Protocol string // that assigns partitions; empty unless Stable
	Members  []kafka.DescribeGroupsResponseMember
}

// DescribeGroup describes a group. While its coordinator moves, or the cluster
// creates the offsets topic for its first group, it retries until ctx ends.
func DescribeGroup(ctx context.Context, client *kafka.Client, group string) (GroupState, error) {
	for {
		s, err := describeGroup(ctx, client, group)
		if code, ok := errors.AsType[kafka.Error](err); !ok || !code.Temporary() || retry.Sleep(ctx, coordinatorRetry) != nil {
			return s, err
		}
	}
}

// coordinatorRetry is the wait before a request to a coordinator that is not ready
// is repeated.
const coordinatorRetry = 200 * time.Millisecond

func describeGroup(ctx context.Context, client *kafka.Client, group string) (GroupState, error) {
	// Client.DescribeGroups decodes the members and leaves the protocol out.
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
		return s, nil // another program's members can't be decoded
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
