package consumer_test

import (
	"testing"
	"time"

	"verdict/consumer"
	"verdict/internal/decision"
)

// backlog returns how many records the members count together.
func backlog(members ...*member) (n int64) {
	for _, m := range members {
		n += m.consumer.Backlog()[topic]
	}
	return n
}

func TestBacklogLeavesOutWhatSettledBeyondTheCommit(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 1000)...)
		w.produce(1, numbers(0, 5)...)
		first := func(rec decision.Record) bool { return rec.Partition == 0 && rec.Offset == 0 }
		m := w.newMember("a")
		m.settles = func(rec decision.Record) bool { return !first(rec) && rec.Partition == 0 }
		m.start()
		if got := m.consumer.Owned(); got != 0 || backlog(m) != 0 {
			t.Errorf("%d partitions and %d records before it joined", got, backlog(m))
		}
		w.await(10*time.Second, "all but six are settled", func() bool { return backlog(m) == 6 && w.committed(0) == 0 })
		if got := m.consumer.Owned(); got != 2 {
			t.Errorf("%d partitions", got)
		}
		m.stop()
		if got := m.consumer.Owned(); got != 0 || backlog(m) != 0 {
			t.Errorf("%d partitions and %d records after the stop", got, backlog(m))
		}

		// The next owner knows it from the commit.
		m = w.newMember("b").hold().start()
		w.await(10*time.Second, "the next owner counts them", func() bool { return m.consumer.Owned() == 2 })
		if got := backlog(m); got != 6 {
			t.Errorf("the next owner counts %d, want 6", got)
		}
		m.stop()
	})
}

func TestBacklogCountsWhatIsNotFetched(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("a").hold().start(func(o *consumer.Options) { o.MaxUncommitted = 10 })
		w.produce(0, numbers(0, 500)...)
		w.await(10*time.Second, "it counts all", func() bool { return backlog(m) == 500 })
		m.stop()
	})
}

func TestBacklogOfMembersAddsUpAcrossRebalances(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		for p := range 4 {
			w.produce(p, numbers(0, 10)...)
		}
		a := w.newMember("a").hold().start()
		w.await(10*time.Second, "one counts all", func() bool { return backlog(a) == 40 })
		b := w.newMember("b").hold().start()
		w.await(time.Minute, "each counts its own", func() bool { return backlog(a) == 20 && backlog(b) == 20 })
		a.stop()
		w.await(time.Minute, "the other counts all", func() bool { return backlog(b) == 40 })
		b.stop()
	})
}

// TestBacklogOfARecreatedTopicIsTheNewOnes has the topic away for a minute, or
// replaced at once, which only its end shows.
func TestBacklogOfARecreatedTopicIsTheNewOnes(t *testing.T) {
	for name, away := range map[string]time.Duration{"away": time.Minute, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.produce(0, numbers(0, 50)...)
				m := w.newMember("a")
				m.settles = func(rec decision.Record) bool { return rec.Offset > 0 && rec.Offset < 40 }
				m.start()
				w.await(10*time.Second, "it counts what is not settled", func() bool { return backlog(m) == 11 })
				time.Sleep(time.Second)
				if err := w.cluster.DeleteTopic(topic); err != nil {
					t.Fatal(err)
				}
				time.Sleep(away)
				if away > 0 && backlog(m) != 0 {
					t.Errorf("it counts %d of a topic that is gone", backlog(m))
				}
				if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
					t.Fatal(err)
				}
				w.conn.Close()
				w.conn = w.connect() // the old one remembers the old topic
				w.produce(0, numbers(100, 7)...)
				m.awaitAccepted(57)
				if got := backlog(m); got != 1 {
					t.Errorf("it counts %d, want the first of the new ones", got)
				}
				m.stop()
			})
		})
	}
}
