package embedded

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is a kind of request, as its number in Kafka's protocol.
type API int16

// The kinds of requests that tests make fail.
const (
	Produce            API = 0
	Fetch              API = 1
	ListOffsets        API = 2
	Metadata           API = 3
	OffsetCommit       API = 8
	OffsetFetch        API = 9
	FindCoordinator    API = 10
	JoinGroup          API = 11
	Heartbeat          API = 12
	LeaveGroup         API = 13
	SyncGroup          API = 14
	DescribeGroups     API = 15
	CreateTopics       API = 19
	InitProducerID     API = 22
	AddPartitionsToTxn API = 24
	EndTxn             API = 26
)

// Fault says which requests fail and how.
type Fault struct {
	// API is the kind of request.
	API API
	// Topic and Group restrict the fault to requests with this topic or group;
	// empty: any. A request without a topic or group matches no name.
	Topic, Group string
	// Code is the error's number in Kafka's protocol, see the constants of
	// kafka.Error.
	Code int
	// Times is how many requests fail; 0: every one until Lift. With
	// REQUEST_TIMED_OUT (7) the broker carries out the request anyway, as a real
	// one may.
	Times int
}

// FaultHandle is a Fault in force.
type FaultHandle struct{ handle *kfake.FaultHandle }

// Inject makes requests fail as f says.
func (c *Cluster) Inject(f Fault) FaultHandle {
	code, ok := errors.AsType[*kerr.Error](kerr.ErrorForCode(int16(f.Code)))
	if !ok || code == nil {
		panic(fmt.Sprintf("embedded: inject a fault: Code %d is not the code of a Kafka error", f.Code))
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

// Hits returns how many requests the fault has made fail so far.
func (h FaultHandle) Hits() int { return h.handle.Hits() }

// Lift ends the fault.
func (h FaultHandle) Lift() { h.handle.Remove() }

// LimitMetadata makes the cluster refuse commits with metadata of more than size
// bytes, like offset.metadata.max.bytes, which the embedded cluster does not know.
// Unlike a real cluster it refuses all partitions of such a request.
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
