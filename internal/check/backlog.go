package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/broker"
	"verdict/internal/term"
)

// backlogs compares the time that the waiting decisions take with their retention.
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
		k.warn(name, "cannot be counted: "+err.Error(), "")
		return
	}
	detail := term.Plural(waiting, "decision") + " to be carried out"
	var takes time.Duration
	if rate := k.cfg.API.RateLimit; rate > 0 && waiting > 0 {
		takes = timeAt(waiting, rate)
		detail += fmt.Sprintf(", which take %s at %v calls a second", term.Days(takes), rate)
	}
	ms, err := strconv.ParseInt(state.Configs["retention.ms"], 10, 64)
	retention := time.Duration(ms) * time.Millisecond
	switch {
	case lost > 0:
		k.warn(name, fmt.Sprintf("%s; %s deleted by retention before they were carried out", detail, term.Plural(lost, "decision")),
			"raise the topic's retention.ms, and submit the lost decisions again")
	case err == nil && ms >= 0 && takes > retention/2:
		k.warn(name, fmt.Sprintf("%s, and are kept for %s", detail, term.Days(retention)), "raise the topic's retention.ms or api.rate_limit, or decisions are deleted before they are carried out")
	default:
		k.ok(name, detail)
	}
}

// timeAt returns how long n calls take at a rate, at most a hundred years.
func timeAt(n int64, rate float64) time.Duration {
	const longest = 100 * 365 * 24 * time.Hour
	if seconds := float64(n) / rate; seconds < longest.Seconds() {
		return time.Duration(seconds * float64(time.Second)).Round(time.Second)
	}
	return longest
}

// countBacklog returns the number of records beyond the committed offsets, and of
// those that were deleted before they were committed.
func (k *kafkaCheck) countBacklog(ctx context.Context, topic string, partitions int) (waiting, lost int64, err error) {
	committed, err := k.committed(ctx, topic, partitions)
	if err != nil {
		return 0, 0, err
	}
	var first, last []kafka.OffsetRequest
	for p := range partitions {
		first, last = append(first, kafka.FirstOffsetOf(p)), append(last, kafka.LastOffsetOf(p))
	}
	client := k.connection.Client()
	starts, err := partitionOffsets(ctx, client, topic, first)
	if err != nil {
		return 0, 0, err
	}
	ends, err := partitionOffsets(ctx, client, topic, last)
	if err != nil {
		return 0, 0, err
	}
	for p := range partitions {
		at, ok := committed[p]
		start, end := starts[p].FirstOffset, ends[p].LastOffset
		if !ok || at < 0 { // run starts as kafka.start_offset says
			at = start
			if k.cfg.Kafka.StartOffset == configs.StartLatest {
				at = end
			}
		}
		lost += max(0, start-at)
		waiting += max(0, end-max(at, start))
	}
	return waiting, lost, nil
}

// committed returns the group's committed offsets of a topic, by partition.
func (k *kafkaCheck) committed(ctx context.Context, topic string, partitions int) (map[int]int64, error) {
	all := make([]int, partitions)
	for p := range all {
		all[p] = p
	}
	commits, err := k.connection.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: k.cfg.Kafka.GroupID, Topics: map[string][]int{topic: all}})
	if err == nil && !errors.Is(commits.Error, kafka.GroupIdNotFound) {
		err = commits.Error
	}
	if err != nil {
		return nil, err
	}
	committed := make(map[int]int64)
	for _, c := range commits.Topics[topic] {
		if c.Error != nil {
			return nil, c.Error
		}
		committed[c.Partition] = c.CommittedOffset
	}
	return committed, nil
}

// partitionOffsets lists offsets of a topic, by partition.
func partitionOffsets(ctx context.Context, client *kafka.Client, topic string, of []kafka.OffsetRequest) (map[int]kafka.PartitionOffsets, error) {
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
