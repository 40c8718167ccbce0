package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
)

// Topic describes a topic to create.
type Topic struct {
	Name string
	// Partitions is the number of partitions; 0: the cluster's default.
	Partitions int
	// ReplicationFactor is the number of replicas; 0: the cluster's default.
	ReplicationFactor int
	// Configs are the topic's settings by their Kafka names; nil: the cluster's
	// defaults.
	Configs map[string]string
}

// Create creates the topics that are missing and returns their names. It leaves
// a topic that exists as it is, whatever its partitions and settings. The error
// joins the errors of single topics; the others are created nevertheless.
func Create(ctx context.Context, client *kafka.Client, topics []Topic) (created []string, err error) {
	if len(topics) == 0 {
		return nil, nil
	}
	req := &kafka.CreateTopicsRequest{Topics: make([]kafka.TopicConfig, len(topics))}
	for i, t := range topics {
		req.Topics[i] = topicConfig(t)
	}
	res, err := client.CreateTopics(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	var errs []error
	for _, t := range topics {
		err, answered := res.Errors[t.Name]
		switch {
		case !answered:
			errs = append(errs, fmt.Errorf("create topic %s: the broker's answer leaves it out", t.Name))
		case err == nil:
			created = append(created, t.Name)
		case errors.Is(err, kafka.TopicAlreadyExists):
		default:
			errs = append(errs, fmt.Errorf("create topic %s: %w%s", t.Name, err, hint(err)))
		}
	}
	return created, errors.Join(errs...)
}

func topicConfig(t Topic) kafka.TopicConfig {
	config := kafka.TopicConfig{
		Topic:             t.Name,
		NumPartitions:     t.Partitions,
		ReplicationFactor: t.ReplicationFactor,
	}
	// In the protocol -1 stands for the cluster's default.
	if config.NumPartitions == 0 {
		config.NumPartitions = -1
	}
	if config.ReplicationFactor == 0 {
		config.ReplicationFactor = -1
	}
	for name, value := range t.Configs {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	return config
}

// Partitions returns how many partitions each topic has, and which topics are
// missing. The answer may be some seconds old, since the transport caches the
// cluster's metadata. A topic that the user may not describe is an error, and so
// is one that has no leader yet.
func Partitions(ctx context.Context, client *kafka.Client, topics ...string) (counts map[string]int, missing []string, err error) {
	res, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, nil, fmt.Errorf("read the partitions of topics %s: %w%s", strings.Join(topics, ", "), err, hint(err))
	}
	counts = make(map[string]int, len(topics))
	for _, t := range res.Topics {
		switch {
		case !slices.Contains(topics, t.Name):
		case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, t.Name)
		case t.Error != nil:
			return nil, nil, fmt.Errorf("read the partitions of topic %s: %w%s", t.Name, t.Error, hint(t.Error))
		default:
			counts[t.Name] = len(t.Partitions)
		}
	}
	return counts, missing, nil
}

// CleanupPolicy returns the topic's setting cleanup.policy, such as "compact".
// It returns an empty string if the user has no right to read it.
func CleanupPolicy(ctx context.Context, client *kafka.Client, topic string) (string, error) {
	const name = "cleanup.policy"
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name},
	}}})
	if err != nil {
		return "", fmt.Errorf("read the configuration of topic %s: %w%s", topic, err, hint(err))
	}
	for _, r := range res.Resources {
		switch {
		case errors.Is(r.Error, kafka.TopicAuthorizationFailed), errors.Is(r.Error, kafka.ClusterAuthorizationFailed):
			return "", nil
		case r.Error != nil:
			return "", fmt.Errorf("read the configuration of topic %s: %w%s", topic, r.Error, hint(r.Error))
		}
		for _, entry := range r.ConfigEntries {
			if entry.ConfigName == name {
				return entry.ConfigValue, nil
			}
		}
	}
	return "", fmt.Errorf("read the configuration of topic %s: the broker's answer leaves out %s", topic, name)
}
