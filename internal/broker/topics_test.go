package broker_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
)

func TestCreateAddsMissingTopicsAndLeavesTheRest(t *testing.T) {
	inWorld(t, embedded.Options{Topics: map[string]int{"present": 2}}, func(w *world) {
		created, err := broker.Create(w.t.Context(), w.conn.Client(), []broker.Topic{
			{Name: "present", Partitions: 7, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: "new", Partitions: 3, ReplicationFactor: 1, Configs: map[string]string{"retention.ms": "1000"}},
			{Name: "default"},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if want := []string{"new", "default"}; !slices.Equal(created, want) {
			w.t.Errorf("created %q, want %q", created, want)
		}
		counts, missing, err := broker.Partitions(w.t.Context(), w.conn.Client(), "present", "new", "default", "never")
		if err != nil {
			w.t.Fatal(err)
		}
		if counts["present"] != 2 || counts["new"] != 3 || counts["default"] == 0 {
			w.t.Errorf("partitions %v, want 2, 3 and the default", counts)
		}
		if !slices.Equal(missing, []string{"never"}) {
			w.t.Errorf("missing %q, want never", missing)
		}
		if got := w.cluster.Kfake().TopicInfo("new").Configs["retention.ms"]; got == nil || *got != "1000" {
			w.t.Errorf("retention.ms of the new topic is not 1000")
		}
		if got := w.cluster.Kfake().TopicInfo("present").Configs["cleanup.policy"]; got != nil && *got == "compact" {
			w.t.Error("an existing topic was changed")
		}
	})
}

func TestCreateGoesOnAfterATopicThatFails(t *testing.T) {
	inWorld(t, embedded.Options{}, func(w *world) {
		w.cluster.Inject(embedded.Fault{
			API: embedded.CreateTopics, Topic: "refused", Code: int(kafka.TopicAuthorizationFailed),
		})
		created, err := broker.Create(w.t.Context(), w.conn.Client(), []broker.Topic{{Name: "refused"}, {Name: "good"}})
		if !slices.Equal(created, []string{"good"}) {
			w.t.Errorf("created %q, want good", created)
		}
		wantErrorIs(w.t, err, kafka.TopicAuthorizationFailed)
		if !strings.Contains(err.Error(), "create topic refused: ") || !strings.Contains(err.Error(), "the right to") {
			w.t.Errorf("error %q names neither topic nor cause", err)
		}
	})
}

func TestCreateEndsWithItsContext(t *testing.T) {
	inWorld(t, embedded.Options{}, func(w *world) {
		w.network.Cut()
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if _, err := broker.Create(ctx, w.conn.Client(), []broker.Topic{{Name: "a"}}); err == nil {
			w.t.Error("Create succeeded without a cluster")
		}
		_, _, err := broker.Partitions(ctx, w.conn.Client(), "a")
		wantErrorIs(w.t, err, embedded.ErrCut)
	})
}

func TestCleanupPolicyIsRead(t *testing.T) {
	inWorld(t, embedded.Options{}, func(w *world) {
		for _, policy := range []string{"compact", "delete"} {
			if err := w.cluster.CreateTopic(policy, 1, map[string]string{"cleanup.policy": policy}); err != nil {
				w.t.Fatal(err)
			}
			if got, err := broker.CleanupPolicy(w.t.Context(), w.conn.Client(), policy); err != nil || got != policy {
				w.t.Errorf("%s: %q, %v", policy, got, err)
			}
		}
		if _, err := broker.CleanupPolicy(w.t.Context(), w.conn.Client(), "missing"); err == nil {
			w.t.Error("a missing topic has a cleanup policy")
		}
	})
}
