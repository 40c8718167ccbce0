package broker_test

import (
	"errors"

	"slices"
	"sync"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestReplicaOfTheRackIsRead has a leader that names another replica to the readers of a
// rack. That replica falls behind, and goes.
func TestReplicaOfTheRackIsRead(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"a": 1}, Brokers: 2}, func(w *world) {
		t := w.t
		w.store("a", 0, 8)
		kfake := w.cluster.Kfake()
		leader := kfake.LeaderFor("a", 0)
		replica := 1 - leader
		kfake.SetFollowers("a", 0, []int32{replica})

		var mu sync.Mutex
		var asked []string     // "leader" or "replica", for each fetch
		var answer *kerr.Error // of the replica; nil: it has what the leader has
		kfake.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			kfake.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			p := kmsg.NewFetchResponseTopicPartition()
			switch node := kfake.CurrentNode(); {
			case node == replica && answer == nil:
				asked = append(asked, "replica")
				return nil, nil, false
			case node == replica:
				asked = append(asked, "replica")
				p.ErrorCode = answer.Code
			case req.(*kmsg.FetchRequest).Rack == "near" && answer == nil:
				asked = append(asked, "leader")
				p.HighWatermark, p.PreferredReadReplica = 8, replica
			default:
				asked = append(asked, "leader")
				return nil, nil, false
			}
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.Partitions = "a", append(topic.Partitions, p)
			res := req.ResponseKind().(*kmsg.FetchResponse)
			res.Topics = append(res.Topics, topic)
			return res, nil, true
		})
		setAnswer := func(e *kerr.Error) {
			mu.Lock()
			defer mu.Unlock()
			answer = e
		}
		wantAsked := func(want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(asked, want) {
				t.Errorf("asked %q, want %q", asked, want)
			}
			asked = nil
		}

		conn, err := broker.NewConnection(broker.Options{
			Brokers: w.cluster.Addrs(), ClientID: "test", Rack: "near", DialFunc: w.network.DialContext,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fetch := func() (values []string, err error) {
			f, err := conn.Fetch(t.Context(), broker.FetchRequest{Topic: "a"})
			if err != nil {
				return nil, err
			}
			_, err = f.Read(func(rec decision.Record) error {
				values = append(values, string(rec.Value))
				return nil
			})
			return values, err
		}
		wantAll := func() {
			t.Helper()
			got, err := fetch()
			if err != nil {
				t.Error(err)
			}
			wantNumbers(t, got, 0, 8)
		}

		wantAll()
		wantAsked("leader", "replica")
		wantAll()
		wantAsked("replica")
		time.Sleep(6 * time.Minute) // then the leader may name another one
		wantAll()
		wantAsked("leader", "replica")

		// What a replica does not have, the leader may have.
		setAnswer(kerr.OffsetOutOfRange)
		wantAll()
		wantAsked("replica", "leader")
		setAnswer(nil)
		wantAll()
		wantAsked("leader", "replica")
		setAnswer(kerr.NotLeaderForPartition)
		if _, err := fetch(); !errors.Is(err, kafka.NotLeaderForPartition) {
			t.Error(err)
		}
		wantAsked("replica")
		wantAll()
		wantAsked("leader")
	})
}
