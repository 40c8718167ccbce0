package cli

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
)

// deadLettersNotice is the least retention of dead letters that is not warned
// of: a person has to find and redrive them.
const deadLettersNotice = 7 * 24 * time.Hour

// topics looks at every topic that run needs.
func (k *kafkaCheck) topics(ctx context.Context, addr string) map[string]broker.TopicState {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	plan := app.PlanTopics(k.cfg.Kafka.Topics)
	states, err := broker.Describe(ctx, k.connection.Client(), app.TopicNames(k.cfg.Kafka.Topics)...)
	if err != nil {
		k.failed("topics", err)
		return nil
	}
	for _, p := range plan {
		s := states[p.Name]
		if errors.Is(s.Err, kafka.UnknownTopicOrPartition) {
			s.Err = k.missing(ctx, addr, p.Name)
		}
		k.topic(p, s)
	}
	return states
}

// missing is why a topic was not found.
func (k *kafkaCheck) missing(ctx context.Context, addr, topic string) error {
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

// topic is one line about one topic: what is worst about it, or how it is.
func (k *kafkaCheck) topic(p app.PlannedTopic, s broker.TopicState) {
	name := "topic/" + p.Name
	setting := func(key string) (int64, bool) {
		n, err := strconv.ParseInt(s.Configs[key], 10, 64)
		return n, err == nil
	}
	switch {
	case errors.Is(s.Err, kafka.UnknownTopicOrPartition):
		k.fail(name, "does not exist", "create it (verdict topics), or correct kafka.topics")
		return
	case errors.Is(s.Err, kafka.TopicAuthorizationFailed):
		k.fail(name, "may not be described", "give the Kafka user DESCRIBE on the topic "+p.Name)
		return
	case s.Err != nil:
		k.failed(name, s.Err)
		return
	case s.Leaderless > 0:
		k.fail(name, fmt.Sprintf("%d of %s have no leader", s.Leaderless, plural(s.Partitions, "partition")), "are brokers down?")
		return
	}
	minInSync, known := setting("min.insync.replicas")
	about := []string{plural(s.Partitions, "partition"), fmt.Sprintf("replication factor %d", s.ReplicationFactor)}
	for _, key := range []string{"min.insync.replicas", "retention.ms", "max.message.bytes", "cleanup.policy"} {
		if value, ok := s.Configs[key]; ok {
			about = append(about, settingText(key, value))
		}
	}
	detail := strings.Join(about, ", ")

	var failed, warned []string // what is wrong, and what would be right
	fail := func(wrong string) { failed = append(failed, wrong) }
	warn := func(wrong string) { warned = append(warned, wrong) }
	if strings.Contains(s.Configs["cleanup.policy"], "compact") {
		fail("cleanup.policy keeps the last record of each key alone, and the others are lost: set it to delete")
	}
	replicas := int64(s.ReplicationFactor)
	switch {
	case known && minInSync > replicas:
		fail("min.insync.replicas is more than there are replicas, so that nothing can be written: lower it")
	case known && int64(s.InSync) < minInSync && !p.Input:
		fail(fmt.Sprintf("%d in sync are fewer than min.insync.replicas, so that nothing can be written: are brokers down?", s.InSync))
	case replicas == 1:
		warn("a lost broker takes its partitions with it: three replicas are usual")
	case known && minInSync == 1:
		warn("an acknowledged record can be lost with one broker: set min.insync.replicas to 2")
	case known && minInSync == replicas:
		warn("with one broker away nothing can be written: set min.insync.replicas to one less than the replicas")
	}
	if n, ok := setting("max.message.bytes"); ok && n < int64(p.MinMessage) {
		warn(fmt.Sprintf("max.message.bytes is less than the %d of the largest record: %s", p.MinMessage, map[bool]string{
			true:  "larger decisions can't be submitted",
			false: "larger ones are published without their value",
		}[p.Input]))
	}
	if n, ok := setting("retention.bytes"); ok && n >= 0 && p.Input {
		warn("retention.bytes deletes decisions by size, carried out or not: set it to -1")
	}
	if n, ok := setting("retention.ms"); ok && n >= 0 && p.Name == k.cfg.Kafka.Topics.DeadLetters && time.Duration(n)*time.Millisecond < deadLettersNotice {
		warn("dead letters are gone in less than 7d: raise retention.ms")
	}
	if s.ConfigErr != nil {
		warn("its settings may not be read: DESCRIBE_CONFIGS on the topic lets check see them; run does not need it")
	}
	switch {
	case len(failed) > 0:
		k.fail(name, detail, strings.Join(append(failed, warned...), "; "))
	case len(warned) > 0:
		k.warn(name, detail, strings.Join(warned, "; "))
	default:
		k.ok(name, detail)
	}
}

// backlogs compares what is still to be done with how long it is kept.
func (k *kafkaCheck) backlogs(ctx context.Context, states map[string]broker.TopicState) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	for _, topic := range k.cfg.Kafka.Topics.Inputs() {
		if state := states[topic]; state.Err == nil && state.Partitions > 0 {
			k.backlog(ctx, topic, state)
		}
	}
}

func (k *kafkaCheck) backlog(ctx context.Context, topic string, state broker.TopicState) {
	name := "backlog/" + topic
	waiting, lost, err := k.countBacklog(ctx, topic, state.Partitions)
	if err != nil {
		k.warn(name, "can't be counted: "+err.Error(), "")
		return
	}
	detail := plural(int(waiting), "decision") + " to be carried out"
	var takes time.Duration
	if rate := k.cfg.API.RateLimit; rate > 0 && waiting > 0 {
		const longest = 100 * 365 * 24 * time.Hour
		takes = longest
		if seconds := float64(waiting) / rate; seconds < longest.Seconds() {
			takes = time.Duration(seconds * float64(time.Second)).Round(time.Second)
		}
		detail += fmt.Sprintf(", which take %s at %v calls a second", inDays(takes), rate)
	}
	ms, err := strconv.ParseInt(state.Configs["retention.ms"], 10, 64)
	keeps := time.Duration(ms) * time.Millisecond
	switch {
	case lost > 0:
		k.warn(name, fmt.Sprintf("%s; %s deleted by retention before they were carried out", detail, plural(int(lost), "decision")),
			"raise the topic's retention.ms, and submit the lost ones again")
	case err == nil && ms >= 0 && takes > keeps/2:
		k.warn(name, fmt.Sprintf("%s, and are kept for %s", detail, inDays(keeps)), "raise the topic's retention.ms or api.rate_limit, or they are deleted before they are carried out")
	default:
		k.ok(name, detail)
	}
}

// countBacklog counts the decisions beyond the committed offsets, and those that
// were deleted before they were committed.
func (k *kafkaCheck) countBacklog(ctx context.Context, topic string, partitions int) (waiting, lost int64, err error) {
	client, all := k.connection.Client(), make([]int, partitions)
	var first, last []kafka.OffsetRequest
	for p := range partitions {
		all[p] = p
		first, last = append(first, kafka.FirstOffsetOf(p)), append(last, kafka.LastOffsetOf(p))
	}
	commits, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: k.cfg.Kafka.GroupID, Topics: map[string][]int{topic: all}})
	if err == nil && !errors.Is(commits.Error, kafka.GroupIdNotFound) {
		err = commits.Error
	}
	if err != nil {
		return 0, 0, err
	}
	committed := make(map[int]int64)
	for _, c := range commits.Topics[topic] {
		if c.Error != nil {
			return 0, 0, c.Error
		}
		committed[c.Partition] = c.CommittedOffset
	}
	begins, err := offsetsOf(ctx, client, topic, first)
	if err != nil {
		return 0, 0, err
	}
	ends, err := offsetsOf(ctx, client, topic, last)
	if err != nil {
		return 0, 0, err
	}
	for p := range partitions {
		at, ok := committed[p]
		begin, end := begins[p].FirstOffset, ends[p].LastOffset
		if !ok || at < 0 {
			at = begin // as run begins, unless kafka.start_offset is latest
			if k.cfg.Kafka.StartOffset == "latest" {
				at = end
			}
		}
		lost += max(0, begin-at)
		waiting += max(0, end-max(at, begin))
	}
	return waiting, lost, nil
}

func offsetsOf(ctx context.Context, client *kafka.Client, topic string, of []kafka.OffsetRequest) (map[int]kafka.PartitionOffsets, error) {
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: of}})
	if err != nil {
		return nil, err
	}
	offsets := make(map[int]kafka.PartitionOffsets, len(of))
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		offsets[p.Partition] = p
	}
	return offsets, nil
}
