package integration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// task returns a task with IDs made of numbers.
func task(profile, id int) decision.Task {
	return decision.NewTask(fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", profile, profile), fmt.Sprintf("%08x-dddd-eeee-ffff-%012x", id, id))
}

// outgoing is a decision to send.
type outgoing struct {
	topic string
	task  decision.Task
	state decision.State
	value string // the record's value, if it is not that of a valid decision
}

// passing returns n decisions that complete tasks with COMPLETED_PASS.
func (s *scene) passing(topic string, from, n int) []outgoing {
	out := make([]outgoing, n)
	for i := range out {
		out[i] = outgoing{topic: topic, task: task(from+i, from+i), state: decision.CompletedPass}
	}
	return out
}

// send writes decisions to their topics, in order, each to its profile's partition, and
// remembers their offsets.
func (s *scene) send(all ...outgoing) {
	s.t.Helper()
	type place struct {
		topic     string
		partition int
	}
	batches := make(map[place][]outgoing)
	for _, o := range all {
		p := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(o.task.ProfileID)}, 0, 1, 2, 3)
		batches[place{o.topic, p}] = append(batches[place{o.topic, p}], o)
	}
	for at, batch := range batches {
		base := s.produce(at.topic, at.partition, batch)
		for i, o := range batch {
			s.sent[decision.Position{Topic: at.topic, Partition: at.partition, Offset: base + int64(i)}] = sent{o.task, o.state}
		}
	}
}

// produce writes a batch and returns its first offset. It retries while a new topic is
// not ready yet, but never if the batch may have been stored.
func (s *scene) produce(topic string, partition int, batch []outgoing) int64 {
	s.t.Helper()
	var base int64
	await(s.t, "decisions are produced to "+topic, func() bool {
		records := make([]kafka.Record, len(batch)) // for each attempt: a request consumes them
		for i, o := range batch {
			value := o.value
			if value == "" {
				value = fmt.Sprintf(`{"profile_id":%q,"task_id":%q,"state":%q}`, o.task.ProfileID, o.task.TaskID, o.state)
			}
			records[i] = kafka.Record{Key: kafka.NewBytes([]byte(o.task.ProfileID)), Value: kafka.NewBytes([]byte(value)), Time: time.Now()}
		}
		answer, err := s.conn.Client().Produce(s.ctx(), &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = answer.Error
		}
		switch {
		case err == nil:
			base = answer.BaseOffset
			return true
		case errors.Is(err, kafka.NotLeaderForPartition), errors.Is(err, kafka.LeaderNotAvailable), errors.Is(err, kafka.UnknownTopicOrPartition):
			return false
		}
		s.t.Fatalf("produce to %s/%d: %v", topic, partition, err)
		return false
	})
	return base
}

// ends returns the end offset of each partition of a topic; nil if Kafka does not answer.
func (s *scene) ends(topic string) []int64 {
	s.t.Helper()
	var requests []kafka.OffsetRequest
	for p := range partitions {
		requests = append(requests, kafka.LastOffsetOf(p))
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	answer, err := s.conn.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}})
	if err != nil {
		return nil
	}
	ends := make([]int64, partitions)
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends
}

// count returns how many records a topic has; -1 if Kafka does not answer.
func (s *scene) count(topic string) int {
	s.t.Helper()
	ends := s.ends(topic)
	if ends == nil {
		return -1
	}
	n := 0
	for _, end := range ends {
		n += int(end)
	}
	return n
}

// read returns every record of a topic, in the order of each partition, without those of
// transactions that were not committed.
func (s *scene) read(topic string) []decision.Record {
	s.t.Helper()
	var all []decision.Record
	if err := s.conn.Scan(s.ctx(), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
		all = append(all, rec)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// uncommitted describes the partitions with decisions that are not committed.
func (s *scene) uncommitted() (open []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	all := []int{0, 1, 2, 3}
	answer, err := s.conn.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: s.group, Topics: map[string][]int{s.topics.decisions: all, s.topics.backfill: all},
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return []string{err.Error()}
	}
	for topic, committed := range answer.Topics {
		ends := s.ends(topic)
		for _, p := range committed {
			if p.Error != nil || ends == nil || max(p.CommittedOffset, 0) != ends[p.Partition] {
				open = append(open, fmt.Sprintf("%s/%d: committed %d, %v, ends %v", topic, p.Partition, p.CommittedOffset, p.Error, ends))
			}
		}
	}
	return open
}

// metadata returns the metadata of a topic's commits.
func (s *scene) metadata(topic string) (all string) {
	s.t.Helper()
	answer, err := s.conn.Client().OffsetFetch(s.ctx(), &kafka.OffsetFetchRequest{GroupID: s.group, Topics: map[string][]int{topic: {0, 1, 2, 3}}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range answer.Topics[topic] {
		all += p.Metadata
	}
	return all
}
