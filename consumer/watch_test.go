package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/consumer"
)

func TestAddedPartitionsAreReadFromTheirStart(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.newMember("m").start(startLatest)
		w.await(time.Minute, "assigned", func() bool { return slices.Contains(w.seen(), "m assigned 2/2") })
		w.addPartitions(topic, 3)
		// Through a client that never knew the topic to be smaller, so before the
		// member has noticed.
		w.conn.Close()
		w.conn = w.connect()
		w.produce(2, "early")
		if got := len(w.seen("assigned")); got != 1 {
			t.Fatalf("%d assignments before the record was produced, want 1", got)
		}
		m.awaitAccepted(1)
		w.wantEvents([]string{"m assigned 2/2", "m assigned 0/2", "m assigned 3/3"}, "assigned")
		m.stop()
	})
}

// The topic is small, or has grown beyond the old position before anybody looks. What was
// read of that is read again, and looked at first.
func TestRecreatedTopicIsReadFromItsStart(t *testing.T) {
	for name, c := range map[string]struct {
		latest bool
		refill int
	}{"earliest": {false, 3}, "latest": {true, 3}, "refilled": {false, 50}, "latest, refilled": {true, 50}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				m := w.newMember("m").start(func(o *consumer.Options) { o.StartLatest = c.latest })
				w.await(time.Minute, "assigned", func() bool { return len(w.seen("assigned")) > 0 })
				w.produce(0, numbers(0, 20)...)
				m.awaitAccepted(20)
				w.awaitCommitted(0, 20)
				time.Sleep(time.Second)
				if err := w.cluster.DeleteTopic(topic); err != nil {
					t.Fatal(err)
				}
				if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
					t.Fatal(err)
				}
				w.conn.Close()
				w.conn = w.connect()
				w.produce(0, numbers(100, c.refill)...)
				fresh := func() (values []string) {
					seen := make(map[string]bool)
					for _, r := range m.all()[20:] {
						value := string(r.rec.Value)
						if seen[value] && !r.before.MaybeApplied {
							t.Errorf("%s is accepted again without a word", value)
						}
						if !seen[value] {
							values = append(values, value)
						}
						seen[value] = true
					}
					slices.Sort(values)
					return values
				}
				w.await(time.Minute, "the new topic is read", func() bool { return len(fresh()) >= c.refill })
				if got := fresh(); !slices.Equal(got, numbers(100, c.refill)) {
					t.Errorf("accepted %q of the new topic", got)
				}
				w.awaitCommitted(0, int64(c.refill))
				if !w.logged("topics were deleted and created again") {
					t.Error("the log does not say that the topic is another one")
				}
				m.stop()
			})
		})
	}
}

func TestDeletedTopicIsReportedAndWaitedFor(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start(startLatest)
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("assigned")) > 0 })
		w.produce(0, "old")
		w.awaitCommitted(0, 1)
		w.forget()
		if err := w.cluster.DeleteTopic(topic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		got := w.seen("health")
		if len(got) != 1 || !strings.HasPrefix(got[0], "m health topics: topic decisions is gone") {
			t.Errorf("health changes %q, want one: the topic is gone", got)
		}
		if m.consumer.Joined() {
			t.Error("still a member, though the topic is gone")
		}
		if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
			t.Fatal(err)
		}
		w.conn.Close()
		w.conn = w.connect()
		w.produce(0, "new")
		m.awaitAccepted(2)
		if got := w.seen("health"); len(got) != 2 || got[1] != "m health topics: <nil>" {
			t.Errorf("health changes %q, want gone and back", got)
		}
		m.stop()
	})
}

// The lag is right even where nothing is fetched.
func TestLagCountsWhatIsNotFetched(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 10)...)
		m := w.newMember("m").hold().start(func(o *consumer.Options) { o.MaxUncommitted = 10 })
		lag := func() int { return int(testutil.ToFloat64(m.metrics.ConsumerLag.WithLabelValues(topic, "0"))) }
		awaitLag := func(d time.Duration, n int) {
			t.Helper()
			w.await(d, fmt.Sprint("the lag is ", n), func() bool { return lag() == n })
		}
		m.awaitAccepted(10)
		awaitLag(time.Second, 10) // from the start
		w.produce(0, numbers(10, 40)...)
		time.Sleep(time.Second)
		m.all()[0].claim.Settle(0)
		awaitLag(time.Second, 49) // by a commit, with the end that the fetch loop saw
		m.awaitAccepted(11)
		w.produce(0, numbers(50, 450)...)
		awaitLag(6*time.Second, 499) // by the watch
		if n := len(m.all()); n != 11 {
			t.Errorf("%d records accepted, want 11 by a span of 10", n)
		}
		m.stop()
		if n := testutil.CollectAndCount(m.metrics.ConsumerLag); n != 0 {
			t.Errorf("%d series of lag are left, want none for partitions that are not owned", n)
		}
	})
}
