package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/consumer"
	"verdict/internal/decision"
)

// Stop fetching, drain, commit, let go, leave: in this order.
func TestGenerationEndsInOrder(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.noteRequests()
		m := w.newMember("m").hold()
		m.drains = func(context.Context, []*consumer.Claim) {
			w.produce(0, "too late")
			time.Sleep(time.Second)
			m.settleAll()
		}
		m.start()
		w.produce(0, numbers(0, 3)...)
		m.awaitAccepted(3)
		w.awaitCommitted(1, 0) // where it began
		w.forget()
		m.stop()
		w.wantEvents([]string{"m drain", "m drained", "commit 0=3", "m assigned 0/2", "leave"})
	})
}

func TestRebalanceDrainsAndCommitsBeforeNextOwner(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.noteRequests()
		a := w.newMember("a").hold()
		a.drains = func(context.Context, []*consumer.Claim) {
			time.Sleep(2 * time.Second)
			a.settleAll()
		}
		a.start()
		w.produce(0, numbers(0, 2)...)
		w.produce(1, numbers(10, 2)...)
		a.awaitAccepted(4)
		w.awaitCommitted(1, 0) // where it began
		w.forget()

		b := w.newMember("b").start()
		w.await(time.Minute, "b owns a partition", func() bool { return slices.Contains(w.seen(), "b assigned 1/2") })
		got := w.seen("a drain", "a drained", "commit", "a assigned 0", "b assigned 1", "accept")
		want := []string{"a drain", "a drained", "commit 0=2 1=2", "a assigned 0/2", "b assigned 1/2"}
		if !slices.Equal(got, want) {
			t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		w.produce(0, "new 0")
		w.produce(1, "new 1")
		b.awaitAccepted(1)
		a.awaitAccepted(5)
		if all := slices.Concat(a.values()[4:], b.values()); len(all) != 2 || !strings.HasPrefix(all[0], "new") || !strings.HasPrefix(all[1], "new") {
			t.Errorf("accepted after the rebalance: %q, want the new records alone", all)
		}
		a.stop()
		b.stop()
	})
}

// A long session must not keep a member from hearing of a rebalance in time.
func TestLongSessionLosesNoMemberInARebalance(t *testing.T) {
	for phase := range 8 {
		inWorld(t, 2, func(t *testing.T, w *world) {
			long := func(o *consumer.Options) { o.SessionTimeout = 5 * time.Minute }
			a := w.newMember("a").hold()
			a.drains = func(context.Context, []*consumer.Claim) {
				time.Sleep(20 * time.Second)
				a.settleAll()
			}
			a.start(long)
			w.produce(0, numbers(0, 2)...)
			w.produce(1, numbers(10, 2)...)
			a.awaitAccepted(4)
			time.Sleep(time.Duration(phase) * time.Second)
			joins := time.Now()
			b := w.newMember("b").start(long)
			w.await(2*time.Minute, "b owns a partition", func() bool { return len(w.seen("b assigned 1/2")) > 0 })
			if took := time.Since(joins); took > 25*time.Second {
				t.Errorf("b got its partition after %v, want the drain's 20s and a heartbeat", took)
			}
			time.Sleep(time.Minute)
			if got := slices.Concat(a.values()[4:], b.values()); len(got) > 0 {
				t.Errorf("accepted again after the rebalance: %q", got)
			}
			a.drains = nil
			a.stop()
			b.stop()
		})
	}
}

func TestDrainEndsAfterDrainTimeout(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").hold()
		m.drains = func(ctx context.Context, _ []*consumer.Claim) { <-ctx.Done() }
		m.start(func(o *consumer.Options) { o.DrainTimeout = 7 * time.Second })
		w.produce(0, numbers(0, 2)...)
		m.awaitAccepted(2)
		claim := m.all()[0].claim
		if claim.Lost() {
			t.Error("the claim is lost while its generation lasts")
		}
		began := time.Now()
		m.stop()
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("stopped after %v, want the drain's 7s", took)
		}
		if !claim.Lost() {
			t.Error("the claim is not lost, though its generation is over")
		}
		claim.Settle(0) // must not panic, nor reach a later commit
		claim.Attempted(1, decision.Progress{Attempts: 1})

		// The next owner reads again what was not settled in time.
		next := w.newMember("next").start()
		next.awaitAccepted(2)
		w.awaitCommitted(0, 2)
		if got := next.values(); !slices.Equal(got, numbers(0, 2)) {
			t.Errorf("the next owner accepted %q", got)
		}
		next.stop()
	})
}

func TestMembersComeAndGoWithoutRepeats(t *testing.T) {
	inWorld(t, 4, func(t *testing.T, w *world) {
		var members []*member
		sent := 0
		for round := range 8 {
			members = append(members, w.newMember(fmt.Sprint("m", round)).start())
			for i := range 20 {
				w.produce(sent%4, fmt.Sprint(sent))
				sent++
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
			}
			if round%2 == 1 {
				members[round/2].stop()
			}
		}
		accepted := func() (values []string) {
			for _, m := range members {
				values = append(values, m.values()...)
			}
			return values
		}
		w.await(time.Minute, "all records are accepted", func() bool { return len(accepted()) >= sent })
		for _, m := range members[4:] {
			m.stop()
		}
		got, want := accepted(), numbers(0, sent)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d records accepted, want each of %d once", len(got), sent)
		}
		for p := range 4 {
			if got, end := w.committed(p), w.cluster.HighWatermark(topic, p); got != end {
				t.Errorf("partition %d: committed %d, want its end %d", p, got, end)
			}
		}
	})
}

func TestMemberWithoutPartitionsWaits(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		a := w.newMember("a").start()
		w.await(time.Minute, "a owns the partition", func() bool { return slices.Contains(w.seen(), "a assigned 1/1") })
		b := w.newMember("b").start()
		w.await(time.Minute, "b is a member", func() bool { return len(w.seen("b assigned")) > 0 })
		idle := a
		if slices.Contains(w.seen("b assigned"), "b assigned 0/1") {
			idle = b
		}
		if !idle.consumer.Joined() {
			t.Error("a member without partitions does not count as joined")
		}
		other := map[*member]*member{a: b, b: a}[idle]
		other.stop()
		w.produce(0, "x")
		idle.awaitAccepted(1)
		idle.stop()
		synctest.Wait()
		if idle.consumer.Joined() {
			t.Error("still joined after Run returned")
		}
	})
}
