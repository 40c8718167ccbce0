package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/consumer"
	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/test/fixture"
)

// shares are the shares that members have now, and what they added up to.
type shares struct {
	mu   sync.Mutex
	of   map[*member]float64
	most float64
}

// watch makes a member's share part of the sum.
func (s *shares) watch(m *member) *member {
	m.assigned = func(owned, total int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.of == nil {
			s.of = make(map[*member]float64)
		}
		s.of[m] = float64(owned) / float64(total)
		s.most = max(s.most, s.sum())
	}
	return m
}

func (s *shares) sum() (sum float64) {
	for _, share := range s.of {
		sum += share
	}
	return sum
}

// now returns what the shares add up to, and the most that they ever did.
func (s *shares) now() (sum, most float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum(), s.most
}

// about reports whether two sums of shares are equal.
func about(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

// addPartitions makes the topic larger.
func (w *world) addPartitions(topic string, count int) {
	w.t.Helper()
	fixture.AddPartitions(w.t, w.cluster, w.network, topic, count)
}

// At no moment do the members' shares add up to more than the group's whole, and
// afterwards they add up to all of it.
func TestSharesAddUpToOneWhilePartitionsAreAdded(t *testing.T) {
	for seed := range uint64(10) {
		inWorld(t, 4, func(t *testing.T, w *world) {
			r := rand.New(rand.NewPCG(seed, 7))
			upTo := func(d time.Duration) { time.Sleep(time.Duration(r.Int64N(int64(d)))) }
			var s shares
			a := s.watch(w.newMember("a")).start()
			upTo(6 * time.Second)
			b := s.watch(w.newMember("b")).start()
			w.await(time.Minute, "both own half", func() bool { return len(w.seen("b assigned 2/4")) > 0 })
			upTo(6 * time.Second)
			w.addPartitions(topic, 16)
			upTo(6 * time.Second)
			c := s.watch(w.newMember("c")).start()
			time.Sleep(20 * time.Second)
			if sum, most := s.now(); most > 1+1e-9 || !about(sum, 1) {
				t.Errorf("seed %d: the shares add up to %v, and to %v at most; want 1", seed, sum, most)
			}
			for _, m := range []*member{a, b, c} {
				m.stop()
			}
			if sum, _ := s.now(); sum != 0 {
				t.Errorf("seed %d: the shares add up to %v after the end", seed, sum)
			}
		})
	}
}

// While instances are replaced one by one, the new ones may read other topics.
func TestSharesAddUpToOneWhereTopicsDiffer(t *testing.T) {
	for _, others := range [][]string{{topic, "more"}, {"more"}, {topic, "more", "most"}} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			inWorld(t, 4, func(t *testing.T, w *world) {
				for _, name := range []string{"more", "most"} {
					if err := w.cluster.CreateTopic(name, 6, nil); err != nil {
						t.Fatal(err)
					}
				}
				var s shares
				a := s.watch(w.newMember("a")).start()
				time.Sleep(10 * time.Second)
				b := s.watch(w.newMember("b")).start(func(o *consumer.Options) { o.Topics = others })
				time.Sleep(30 * time.Second)
				if sum, most := s.now(); most > 1+1e-9 || !about(sum, 1) {
					t.Errorf("the shares add up to %v, and to %v at most; want 1", sum, most)
				}
				a.stop()
				w.await(time.Minute, "b has the whole", func() bool { sum, _ := s.now(); return about(sum, 1) })
				b.stop()
			})
		})
	}
}

// A generation waits for its share while the group can't be described, and then
// begins.
func TestGenerationBeginsWhenItsShareIsKnown(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		fault := w.cluster.Inject(embedded.Fault{API: embedded.DescribeGroups, Code: int(kafka.GroupAuthorizationFailed)})
		m := w.newMember("m").start()
		w.produce(0, "x")
		time.Sleep(time.Minute)
		if len(m.all()) > 0 || len(w.seen("m assigned")) > 0 {
			t.Error("the generation began without a share")
		}
		if got := w.seen("m health group: "); len(got) != 1 {
			t.Errorf("health changes %q, want one failure", got)
		}
		fault.Lift()
		m.awaitAccepted(1)
		if !slices.Contains(w.seen(), "m assigned 2/2") {
			t.Errorf("events %q, want both partitions assigned", w.seen("assigned"))
		}
		m.stop()
	})
}

// While another member joins, the group has no shares to describe.
func TestShareIsNotTakenFromARebalance(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		fault := w.cluster.Inject(embedded.Fault{API: embedded.DescribeGroups, Code: int(kafka.GroupAuthorizationFailed)})
		a := w.newMember("a").start()
		time.Sleep(2600 * time.Millisecond) // just after a heartbeat
		b := w.newMember("b").start()
		time.Sleep(100 * time.Millisecond)
		fault.Lift()
		w.await(time.Minute, "both own half", func() bool { return len(w.seen("a assigned 1/2", "b assigned 1/2")) == 2 })
		w.wantEvents(nil, "assigned 2/", "/0")
		a.stop()
		b.stop()
	})
}

// A member that was removed does not take a share beside those that replaced it.
func TestRemovedMemberTakesNoShare(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		var s shares
		fault := w.cluster.Inject(embedded.Fault{API: embedded.DescribeGroups, Code: int(kafka.GroupAuthorizationFailed)})
		a := s.watch(w.newMember("a")).start()
		time.Sleep(2600 * time.Millisecond) // just after a heartbeat
		fault.Lift()
		state, err := broker.DescribeGroup(t.Context(), w.conn.Client(), group)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.conn.Client().LeaveGroup(t.Context(), &kafka.LeaveGroupRequest{
			GroupID: group, Members: []kafka.LeaveGroupRequestMember{{ID: state.Members[0].MemberID}},
		}); err != nil {
			t.Fatal(err)
		}
		b := s.watch(w.newMember("b")).start()
		w.await(time.Minute, "both own half", func() bool { return len(w.seen("a assigned 1/2", "b assigned 1/2")) == 2 })
		if _, most := s.now(); most > 1+1e-9 {
			t.Errorf("the shares added up to %v", most)
		}
		a.stop()
		b.stop()
	})
}
