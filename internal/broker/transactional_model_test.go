package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// Two machines write the numbers from 0 on under one transactional ID, each from the
// checkpoint that it read when it took over. Either may take over at any time, also while
// a request of the other's is under way, and any request may fail.
func TestTwoWritersLoseAndRepeatNothing(t *testing.T) {
	apis := []embedded.API{embedded.FindCoordinator, embedded.InitProducerID, embedded.AddPartitionsToTxn, embedded.Produce, embedded.EndTxn}
	codes := []kafka.Error{
		kafka.NotCoordinatorForGroup, kafka.ConcurrentTransactions, kafka.NotLeaderForPartition, kafka.RequestTimedOut,
		kafka.NotEnoughReplicasAfterAppend, kafka.OutOfOrderSequenceNumber, kafka.InvalidRecord,
	}
	rapid.Check(t, func(rt *rapid.T) {
		failed := true
		synctest.Test(t, func(t *testing.T) {
			w := startWorld(t, ledgerTopics(3))
			defer w.close()
			defer func() { failed = t.Failed() }()
			var owner *machine
			machines := []*machine{newMachine(w, &owner), newMachine(w, &owner)}
			for range rapid.IntRange(1, 12).Draw(rt, "acts") {
				i := rapid.IntRange(0, 1).Draw(rt, "machine")
				m, other := machines[i], machines[1-i]
				// What happens at a request of this write.
				api, nth := rapid.SampledFrom(apis).Draw(rt, "api"), rapid.IntRange(1, 6).Draw(rt, "nth")
				var at func() tapAct
				switch rapid.IntRange(0, 5).Draw(rt, "event") {
				case 0:
					act := rapid.SampledFrom([]tapAct{lose, loseAnswer}).Draw(rt, "act")
					at = func() tapAct { return act }
				case 1:
					code := rapid.SampledFrom(codes).Draw(rt, "code")
					at = func() tapAct {
						w.cluster.Inject(embedded.Fault{API: api, Code: int(code), Times: 1})
						return pass
					}
				case 2:
					at = func() tapAct { w.cluster.MoveLeaders(); w.cluster.MoveCoordinators(); return pass }
				case 3: // it stands still while the other works
					n := rapid.IntRange(1, 3).Draw(rt, "writes of the other")
					at = func() tapAct { other.write(n); return pass }
				case 4: // longer than a transaction may take
					at = func() tapAct { time.Sleep(2 * time.Minute); return pass }
				}
				if at != nil {
					m.tap.onNth(api, nth, at)
				}
				m.write(rapid.IntRange(1, 3).Draw(rt, "writes"))
				m.tap.onEach(nil)
			}
			machines[0].tx = nil
			if machines[0].write(1); machines[0].tx == nil {
				t.Error("nothing can be written once the faults are over")
			}
			w.wantWritten(w.checkpoint())
			for _, m := range machines {
				if w.checkpoint() < m.next {
					t.Errorf("the checkpoint is %d, and %d were reported as written", w.checkpoint(), m.next)
				}
			}
		})
		if failed {
			rt.FailNow()
		}
	})
}

// machine is one of the writers.
type machine struct {
	w     *world
	owner **machine // which of them took over last
	conn  *broker.Connection
	tap   *tap
	tx    *broker.Transactional // nil: its last one has ended
	next  int                   // the next number to write
}

func newMachine(w *world, owner **machine) *machine {
	m := &machine{w: w, owner: owner}
	m.conn, m.tap = w.tapped()
	return m
}

// write makes n transactions of ten numbers each, and returns at the first error.
func (m *machine) write(n int) {
	for range n {
		if m.tx == nil {
			tx, err := m.conn.NewTransactional(m.w.t.Context(), "batch")
			if err != nil {
				return
			}
			*m.owner = m
			m.tx, m.next = tx, m.w.checkpoint()
		}
		if _, err := m.tx.Write(m.w.t.Context(), m.w.rows(m.next, m.next+10)); err != nil {
			m.tx = nil
			return
		}
		if *m.owner != m {
			m.w.t.Error("written by a machine whose ID was taken over")
		}
		m.next += 10
	}
}
