package consumer_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
)

func TestRunWaitsForMissingTopics(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		m := w.newMember("m").start(startLatest)
		time.Sleep(5 * time.Minute)
		if got := w.seen(); len(got) != 1 || !strings.HasPrefix(got[0], "m health topics: topic decisions does not exist; create it") {
			t.Errorf("events %q, want one: the topic does not exist", got)
		}
		if m.consumer.Joined() {
			t.Error("joined without a topic")
		}
		if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
			t.Fatal(err)
		}
		// A topic that was missing at first is read from its start.
		w.produce(0, "first")
		m.awaitAccepted(1)
		if got := w.seen("health"); len(got) != 2 || got[1] != "m health topics: <nil>" {
			t.Errorf("health changes %q, want missing and there", got)
		}
		m.stop()
	})
}

func TestRunWaitsForKafka(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.network.Cut()
		m := w.newMember("m").start()
		time.Sleep(5 * time.Minute)
		if got := w.seen(); len(got) != 1 || !strings.HasPrefix(got[0], "m health metadata: ") {
			t.Errorf("events %q, want one: the metadata can't be read", got)
		}
		w.network.Mend()
		w.await(time.Minute, "assigned", func() bool { return slices.Contains(w.seen(), "m assigned 1/1") })
		if got := w.seen("health"); len(got) != 2 || got[1] != "m health metadata: <nil>" {
			t.Errorf("health changes %q, want failing once and working once", got)
		}
		m.stop()
	})
}

func TestRunEndsWhileItWaits(t *testing.T) {
	inWorld(t, 0, func(_ *testing.T, w *world) {
		m := w.newMember("m").start()
		time.Sleep(time.Minute)
		m.stop()
	})
}

func TestJoinFailureIsReportedOnce(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		fault := w.cluster.Inject(embedded.Fault{API: embedded.JoinGroup, Code: int(kafka.GroupAuthorizationFailed)})
		m := w.newMember("m").start()
		time.Sleep(time.Minute)
		if got := w.seen(); len(got) != 1 || !strings.HasPrefix(got[0], "m health group: join group g: ") {
			t.Errorf("events %q, want one: the group can't be joined", got)
		}
		if m.consumer.Joined() {
			t.Error("counts as joined")
		}
		fault.Lift()
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("assigned 1/1")) > 0 })
		synctest.Wait()
		if got := w.seen("health"); len(got) != 2 || got[1] != "m health group: <nil>" || !m.consumer.Joined() {
			t.Errorf("health changes %q, joined %v", got, m.consumer.Joined())
		}
		m.stop()
	})
}

func TestJoinedIsFalseWhileTheGroupIsOutOfReach(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start()
		w.await(time.Minute, "joined", func() bool { return m.consumer.Joined() })
		w.network.Cut()
		w.await(time.Minute, "not joined", func() bool { return !m.consumer.Joined() })
		w.network.Mend()
		w.await(time.Minute, "joined again", func() bool { return m.consumer.Joined() })
		m.stop()
	})
}

func TestMemberShowsItsUserData(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start(func(o *consumer.Options) { o.UserData = []byte("about me") })
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("assigned")) > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		state, err := broker.DescribeGroup(ctx, w.conn.Client(), group)
		if err != nil || len(state.Members) != 1 || state.Protocol != consumer.Protocol {
			t.Fatalf("group %+v, %v", state, err)
		}
		if got := string(state.Members[0].MemberMetadata.UserData); got != "about me" {
			t.Errorf("user data %q", got)
		}
		m.stop()
	})
}
