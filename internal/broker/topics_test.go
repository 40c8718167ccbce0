package broker_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

func TestCreateMakesWhatIsMissingAndLeavesTheRest(t *testing.T) {
	inBubble(t, embedded.Options{Topics: map[string]int{"there": 2}}, func(b *bench) {
		created, err := broker.Create(b.t.Context(), b.conn.Client(), []broker.Topic{
			{Name: "there", Partitions: 7, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: "new", Partitions: 3, ReplicationFactor: 1, Configs: map[string]string{"retention.ms": "1000"}},
			{Name: "default"},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if want := []string{"new", "default"}; !slices.Equal(created, want) {
			b.t.Errorf("created %q, want %q", created, want)
		}
		counts, missing, err := broker.Partitions(b.t.Context(), b.conn.Client(), "there", "new", "default", "never")
		if err != nil {
			b.t.Fatal(err)
		}
		if counts["there"] != 2 || counts["new"] != 3 || counts["default"] == 0 {
			b.t.Errorf("partitions %v", counts)
		}
		if !slices.Equal(missing, []string{"never"}) {
			b.t.Errorf("missing %q, want never", missing)
		}
		if got := b.cluster.Kfake().TopicInfo("new").Configs["retention.ms"]; got == nil || *got != "1000" {
			b.t.Errorf("retention.ms of the new topic is not as asked")
		}
		if got := b.cluster.Kfake().TopicInfo("there").Configs["cleanup.policy"]; got != nil && *got == "compact" {
			b.t.Error("a topic that was there has changed")
		}
	})
}

func TestTopicThatCannotBeMadeDoesNotKeepOthersFromBeingMade(t *testing.T) {
	inBubble(t, embedded.Options{}, func(b *bench) {
		b.cluster.Inject(embedded.Fault{
			API: embedded.CreateTopics, Topic: "refused", Code: int(kafka.TopicAuthorizationFailed),
		})
		created, err := broker.Create(b.t.Context(), b.conn.Client(), []broker.Topic{{Name: "refused"}, {Name: "good"}})
		if !slices.Equal(created, []string{"good"}) {
			b.t.Errorf("created %q, want good", created)
		}
		wantErrorIs(b.t, err, kafka.TopicAuthorizationFailed)
		if !strings.Contains(err.Error(), "create topic refused: ") || !strings.Contains(err.Error(), "the right to") {
			b.t.Errorf("error %q names neither topic nor cause", err)
		}
	})
}

func TestTopicsOfAClusterThatIsAwayEndWithTheContext(t *testing.T) {
	inBubble(t, embedded.Options{}, func(b *bench) {
		b.network.Cut()
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		if _, err := broker.Create(ctx, b.conn.Client(), []broker.Topic{{Name: "a"}}); err == nil {
			b.t.Error("created")
		}
		_, _, err := broker.Partitions(ctx, b.conn.Client(), "a")
		wantErrorIs(b.t, err, embedded.ErrCut)
	})
}

func TestAWrongAddressIsToldWithItsLikelyCause(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nobody is there now
	conn, err := broker.NewConnection(broker.Options{Brokers: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _, err = broker.Partitions(t.Context(), conn.Client(), "a")
	if err == nil || !strings.Contains(err.Error(), "are the brokers up, and are their addresses and TLS right?") {
		t.Errorf("got %v", err)
	}
}
