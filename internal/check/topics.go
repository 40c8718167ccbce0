package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/term"
)

// deadLettersNotice is the retention of dead letters below which check warns:
// people need time to find and redrive them.
const deadLettersNotice = 7 * 24 * time.Hour

// topics checks every topic that run needs, and returns their states.
func (k *kafkaCheck) topics(ctx context.Context, addr string) map[string]broker.TopicState {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	states, err := broker.Describe(ctx, k.connection.Client(), app.TopicNames(k.cfg.Kafka.Topics)...)
	if err != nil {
		k.failErr("topics", err)
		return nil
	}
	for _, p := range app.PlanTopics(k.cfg.Kafka.Topics) {
		s := states[p.Name]
		if errors.Is(s.Err, kafka.UnknownTopicOrPartition) {
			s.Err = k.whyMissing(ctx, addr, p.Name)
		}
		k.topic(p, s)
	}
	return states
}

// whyMissing returns why a topic was not found: a user without the right to
// describe a topic is told that it does not exist.
func (k *kafkaCheck) whyMissing(ctx context.Context, addr, topic string) error {
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		return err
	}
	defer probe.Close()
	if err := probe.MayDescribe(topic); err != nil {
		return err
	}
	return kafka.UnknownTopicOrPartition
}

// topic adds the one finding about a topic.
func (k *kafkaCheck) topic(p app.PlannedTopic, s broker.TopicState) {
	name := "topic/" + p.Name
	switch {
	case errors.Is(s.Err, kafka.UnknownTopicOrPartition):
		k.fail(name, "does not exist", "create it (verdict topics), or correct kafka.topics")
		return
	case errors.Is(s.Err, kafka.TopicAuthorizationFailed):
		k.fail(name, "this user may not describe it", "give the Kafka user DESCRIBE on the topic "+p.Name)
		return
	case s.Err != nil:
		k.failErr(name, s.Err)
		return
	case s.Leaderless > 0:
		k.fail(name, fmt.Sprintf("%d of %s have no leader", s.Leaderless, term.Plural(s.Partitions, "partition")), "are brokers down?")
		return
	}
	detail := topicDetail(s)
	failed, warned := replicaFaults(p, s)
	if strings.Contains(s.Configs["cleanup.policy"], "compact") {
		failed = append([]string{"cleanup.policy keeps only the last record of each key, and the others are lost: set it to delete"}, failed...)
	}
	warned = append(warned, k.settingFaults(p, s)...)
	switch {
	case len(failed) > 0:
		k.fail(name, detail, strings.Join(append(failed, warned...), "; "))
	case len(warned) > 0:
		k.warn(name, detail, strings.Join(warned, "; "))
	default:
		k.ok(name, detail)
	}
}

// topicDetail lists the properties of a topic that matter to Verdict.
func topicDetail(s broker.TopicState) string {
	parts := []string{term.Plural(s.Partitions, "partition"), fmt.Sprintf("replication factor %d", s.ReplicationFactor)}
	for _, key := range []string{"min.insync.replicas", "retention.ms", "max.message.bytes", "cleanup.policy"} {
		if value, ok := s.Configs[key]; ok {
			parts = append(parts, term.Setting(key, value))
		}
	}
	return strings.Join(parts, ", ")
}

// numberSetting returns the value of a setting, if it is known and a number.
func numberSetting(s broker.TopicState, key string) (int64, bool) {
	n, err := strconv.ParseInt(s.Configs[key], 10, 64)
	return n, err == nil
}

// replicaFaults returns what is wrong with the replicas of a topic: faults that
// stop run, and others.
func replicaFaults(p app.PlannedTopic, s broker.TopicState) (failed, warned []string) {
	replicas := int64(s.ReplicationFactor)
	minInSync, known := numberSetting(s, "min.insync.replicas")
	switch {
	case known && minInSync > replicas:
		failed = append(failed, "min.insync.replicas is more than the number of replicas, so nothing can be written: lower it")
	case known && int64(s.InSync) < minInSync && !p.Input:
		failed = append(failed, fmt.Sprintf("only %d in sync, fewer than min.insync.replicas, so nothing can be written: are brokers down?", s.InSync))
	case replicas == 1:
		warned = append(warned, "if a broker is lost, so are its partitions: three replicas are usual")
	case known && minInSync == 1:
		warned = append(warned, "an acknowledged record can be lost with one broker: set min.insync.replicas to 2")
	case known && minInSync == replicas:
		warned = append(warned, "nothing can be written while one broker is down: set min.insync.replicas to one less than the number of replicas")
	}
	return failed, warned
}

// settingFaults returns warnings about the settings of a topic.
func (k *kafkaCheck) settingFaults(p app.PlannedTopic, s broker.TopicState) (warned []string) {
	if n, ok := numberSetting(s, "max.message.bytes"); ok && n < int64(p.MinMessage) {
		consequence := "larger records are published without their value"
		if p.Input {
			consequence = "larger decisions cannot be submitted"
		}
		warned = append(warned, fmt.Sprintf("max.message.bytes is less than the %d bytes of the largest record: %s", p.MinMessage, consequence))
	}
	if n, ok := numberSetting(s, "retention.bytes"); ok && n >= 0 && p.Input {
		warned = append(warned, "retention.bytes deletes decisions by size, settled or not: set it to -1")
	}
	if n, ok := numberSetting(s, "retention.ms"); ok && n >= 0 && p.Name == k.cfg.Kafka.Topics.DeadLetters && time.Duration(n)*time.Millisecond < deadLettersNotice {
		warned = append(warned, fmt.Sprintf("dead letters are deleted in less than %s: raise retention.ms", term.Days(deadLettersNotice)))
	}
	if s.ConfigErr != nil {
		warned = append(warned, "its settings cannot be read: to let check see them, give DESCRIBE_CONFIGS on the topic; run does not need it")
	}
	return warned
}
