package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
)

// TestMemberGoesOnFromACommitThatFailed has a member settle 0, 2 and 3 of the offsets 0 to 5
// and begin with 4 while no commit reaches Kafka, and join again once its session is over.
func TestMemberGoesOnFromACommitThatFailed(t *testing.T) {
	recreate := func(w *world) {
		if err := w.cluster.DeleteTopic(topic); err != nil {
			w.t.Fatal(err)
		}
		if err := w.cluster.CreateTopic(topic, 1, nil); err != nil {
			w.t.Fatal(err)
		}
		w.conn.Close()
		w.conn = w.connect()
	}
	commitsFail := func(w *world, code kafka.Error) (lift func()) {
		return w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(code)}).Lift
	}
	all := []int64{0, 1, 2, 3, 4, 5}
	for name, c := range map[string]struct {
		never       bool // Kafka has no commit, otherwise that of 0
		answered    bool // 0 is settled before, and Kafka confirms the commit
		unconfirmed bool // 0 is settled before, and Kafka has the commit but does not confirm it
		meanwhile   func(w *world)
		want        []int64 // accepted after the member joined again
		maybe       []int64 // those of them that may have been applied
	}{
		"nobody has committed since": {want: []int64{1, 4, 5}, maybe: []int64{4}},
		"an answer was lost":         {unconfirmed: true, want: []int64{1, 4, 5}, maybe: []int64{4}},
		"another member has": {
			meanwhile: func(w *world) { w.commit(0, 0, metadata(0, nil, 5)) },
			want:      []int64{0, 1, 2, 3, 4},
		},
		"the offset was reset": {
			answered:  true,
			meanwhile: func(w *world) { w.commit(0, 0, "") },
			want:      all,
		},
		"the topic was created again": {
			meanwhile: func(w *world) { recreate(w); w.produce(0, numbers(10, 6)...) },
			want:      all,
		},
		"the topic was created again before any commit": {
			never:     true,
			meanwhile: func(w *world) { recreate(w); w.produce(0, numbers(10, 6)...) },
			want:      all,
		},
		"records were lost": {
			meanwhile: func(w *world) { recreate(w); w.produce(0, numbers(0, 3)...); w.commit(0, 0, "") },
			want:      []int64{0, 1, 2}, maybe: []int64{0, 1, 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				lift := func() {}
				if c.never {
					lift = commitsFail(w, kafka.GroupCoordinatorNotAvailable)
				}
				m := w.newMember("m").hold().start()
				if !c.never {
					w.awaitCommitted(0, 0) // where it began
				}
				w.produce(0, numbers(0, 6)...)
				m.awaitAccepted(6)
				claim := m.all()[0].claim
				if c.unconfirmed {
					lift = commitsFail(w, kafka.RequestTimedOut)
				}
				if c.answered || c.unconfirmed {
					claim.Settle(0)
					w.awaitCommitted(0, 1)
				}
				w.network.Cut()
				for _, offset := range []int64{0, 2, 3} {
					claim.Settle(offset)
				}
				claim.Attempted(4, decision.Progress{Attempts: 1, MaybeApplied: true})
				w.await(time.Minute, "the generation ends", claim.Lost)
				joins := w.cluster.Inject(embedded.Fault{API: embedded.JoinGroup, Code: int(kafka.GroupCoordinatorNotAvailable)})
				time.Sleep(time.Minute) // beyond the session
				w.network.Mend()
				lift()
				if c.meanwhile != nil {
					c.meanwhile(w)
				}
				joins.Lift()
				m.awaitAccepted(6 + len(c.want))
				time.Sleep(time.Second)
				var got, maybe []int64
				for _, r := range m.all()[6:] {
					got = append(got, r.rec.Offset)
					if r.before.MaybeApplied {
						maybe = append(maybe, r.rec.Offset)
					}
				}
				if !slices.Equal(got, c.want) || !slices.Equal(maybe, c.maybe) {
					t.Errorf("accepted %v, of which %v may have been applied, want %v and %v", got, maybe, c.want, c.maybe)
				}
				if c.meanwhile == nil {
					if _, have, _ := w.cluster.Committed(group, topic, 0); w.committed(0) != 1 || have != metadata(1, map[int64]decision.Progress{4: {Attempts: 1, MaybeApplied: true}}, 2, 3) {
						t.Errorf("committed %d %q without anything else settled", w.committed(0), have)
					}
				}
				m.stop()
			})
		})
	}
}
