package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is a kind of request, by its number in Kafka's protocol.
type API int16

// The kinds of requests that tests let fail.
const (
	Produce         API = 0
	Fetch           API = 1
	ListOffsets     API = 2
	Metadata        API = 3
	OffsetCommit    API = 8
	OffsetFetch     API = 9
	FindCoordinator API = 10
	JoinGroup       API = 11
	Heartbeat       API = 12
	LeaveGroup      API = 13
	SyncGroup       API = 14
	CreateTopics    API = 19
)

// Fault says which requests fail and how.
type Fault struct {
	// API is the kind of request.
	API API
	// Topic and Group narrow it down to the requests that carry this topic or
	// group; empty means any. A request that carries none never matches a
	// name.
	Topic, Group string
	// Code is the error's number in Kafka's protocol, as kafka.Error's
	// constants have it.
	Code int
	// Times is how many requests fail; 0 means every one until Lift. With
	// REQUEST_TIMED_OUT (7) the broker does the work all the same, as a real
	// one may.
	Times int
}

// FaultHandle is a Fault in force.
type FaultHandle struct{ handle *kfake.FaultHandle }

// Inject lets requests fail as f says.
func (c *Cluster) Inject(f Fault) FaultHandle {
	code, ok := errors.AsType[*kerr.Error](kerr.ErrorForCode(int16(f.Code)))
	if !ok || code == nil {
		panic(fmt.Sprintf("embedded: inject: %d is not the code of a Kafka error", f.Code))
	}
	times := f.Times
	if times == 0 {
		times = -1
	}
	return FaultHandle{c.kfake.Fault(kfake.Fault{
		Keys:  []kmsg.Key{kmsg.Key(f.API)},
		Topic: f.Topic,
		Group: f.Group,
		Err:   code,
		Count: times,
	})}
}

// Hits is how many requests have failed by the fault so far.
func (h FaultHandle) Hits() int { return h.handle.Hits() }

// Lift ends the fault.
func (h FaultHandle) Lift() { h.handle.Remove() }

// Wait waits until n requests have failed by the fault.
func (h FaultHandle) Wait(ctx context.Context, n int) error { return h.handle.Wait(ctx, n) }

// LimitMetadata makes the cluster refuse commits whose metadata is longer than
// size bytes, as offset.metadata.max.bytes does, which the embedded cluster does
// not know. Unlike a real one it refuses all partitions of such a request.
func (c *Cluster) LimitMetadata(size int) {
	c.kfake.ControlKey(int16(OffsetCommit), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.kfake.KeepControl()
		req := kreq.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		tooLong := false
		for _, topic := range req.Topics {
			answer := kmsg.OffsetCommitResponseTopic{Topic: topic.Topic, TopicID: topic.TopicID}
			for _, p := range topic.Partitions {
				tooLong = tooLong || p.Metadata != nil && len(*p.Metadata) > size
				answer.Partitions = append(answer.Partitions, kmsg.OffsetCommitResponseTopicPartition{
					Partition: p.Partition, ErrorCode: kerr.OffsetMetadataTooLarge.Code,
				})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, tooLong
	})
}
