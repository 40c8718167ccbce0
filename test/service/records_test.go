package service_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
)

// task returns the task with these numbers in its IDs.
func task(profile, id int) decision.Task {
	return decision.NewTask(fmt.Sprintf("%08x-aaaa-bbbb-cccc-%012x", profile, profile), fmt.Sprintf("%08x-dddd-eeee-ffff-%012x", id, id))
}

// outgoing is a record to send. Where it is a decision, task and state say what it
// should do.
type outgoing struct {
	topic, key, value string
	headers           []kafka.Header
	task              decision.Task
	state             decision.State
}

// sent is what a decision in a topic should do.
type sent struct {
	task  decision.Task
	state decision.State
}

// value returns the JSON of a decision, with more members.
func value(task decision.Task, state decision.State, more ...string) string {
	members := append([]string{
		fmt.Sprintf(`"profile_id":%q`, task.ProfileID), fmt.Sprintf(`"task_id":%q`, task.TaskID), fmt.Sprintf(`"state":%q`, state),
	}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

// decisionOn returns the record of a decision on a task, with more members.
func decisionOn(topic string, task decision.Task, state decision.State, more ...string) outgoing {
	return outgoing{topic: topic, key: task.ProfileID, value: value(task, state, more...), task: task, state: state}
}

// decisionByKey returns the record of a decision that names its task by alias or
// type. found is the task that it should find.
func decisionByKey(topic string, found decision.Task, member, key string, state decision.State, more ...string) outgoing {
	members := append([]string{fmt.Sprintf(`"profile_id":%q,"task":{%q:%q},"state":%q`, found.ProfileID, member, key, state)}, more...)
	return outgoing{topic: topic, key: found.ProfileID, value: "{" + strings.Join(members, ",") + "}", task: found, state: state}
}

// passes returns n decisions, each on a task and a profile of its own.
func passes(topic string, n int) []outgoing {
	records := make([]outgoing, n)
	for i := range records {
		records[i] = decisionOn(topic, task(i, i), decision.CompletedPass)
	}
	return records
}

// withTrace returns r with a trace in its headers, and the state "a=b".
func withTrace(r outgoing, traceparent string) outgoing {
	r.headers = []kafka.Header{{Key: "traceparent", Value: []byte(traceparent)}, {Key: "tracestate", Value: []byte("a=b")}}
	return r
}

// anyState returns a random state, for tests of a task's order.
func anyState(r *rand.Rand) decision.State {
	if r.IntN(2) == 0 {
		return decision.CompletedPass
	}
	return decision.CompletedFail
}

// partitionOf returns the partition of a task's decisions.
func partitionOf(t decision.Task) int { return partitionOfKey(t.ProfileID) }

func partitionOfKey(key string) int {
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(key)}, 0, 1, 2, 3)
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int
}

// send puts records into their topics, in order, and remembers what they should do.
func (w *world) send(records ...outgoing) {
	w.t.Helper()
	batches := make(map[place][]outgoing)
	for _, r := range records {
		at := place{r.topic, partitionOfKey(r.key)}
		batches[at] = append(batches[at], r)
	}
	for at, batch := range batches {
		for chunk := range slices.Chunk(batch, 4000) { // fits the broker's limit for a batch
			w.sendTo(at, chunk...)
		}
	}
}

// sendTo puts records into one partition.
func (w *world) sendTo(at place, batch ...outgoing) {
	w.t.Helper()
	out := make([]kafka.Record, len(batch))
	for i, r := range batch {
		out[i] = kafka.Record{Key: kafka.NewBytes([]byte(r.key)), Value: kafka.NewBytes([]byte(r.value)), Headers: r.headers, Time: time.Now()}
	}
	base, err := produce(w.t.Context(), w.client, at, out...)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range batch {
		w.submitted[decision.Position{Topic: at.topic, Partition: at.partition, Offset: base + int64(i)}] = sent{r.task, r.state}
	}
}

// produce writes records to one partition, acknowledged by every replica, and
// returns the first one's offset.
func produce(ctx context.Context, to *broker.Connection, at place, records ...kafka.Record) (base int64, err error) {
	answer, err := to.Client().Produce(ctx, &kafka.ProduceRequest{
		Topic: at.topic, Partition: at.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return 0, err
	}
	return answer.BaseOffset, answer.Error
}
