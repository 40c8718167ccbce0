package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

func (w *world) mustRead(watcher *Watcher) *Status {
	w.Helper()
	st, err := watcher.Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return st
}

func TestStatusWithoutALedger(t *testing.T) {
	inWorld(t, func(w *world) {
		w.Put(bulktest.Decision(bulktest.LiveTopic, 1), bulktest.Decision(bulktest.LiveTopic, 2), bulktest.Decision(bulktest.BackfillTopic, 3))
		st := w.mustRead(NewWatcher(w.options()))
		if !strings.Contains(st.Ledger, "does not exist") || st.Lanes[0].Lag != 2 || st.Lanes[1].Lag != 1 || len(st.Instances) != 0 || st.Rate.Configured != 50 {
			t.Errorf("%+v", st)
		}
	})
}

func TestStatusWithALedgerThatIsNone(t *testing.T) {
	inWorld(t, func(w *world) {
		if err := w.Cluster.CreateTopic("control", 2, nil); err != nil {
			t.Fatal(err)
		}
		w.Put(bulktest.Decision(bulktest.LiveTopic, 1))
		if st := w.mustRead(NewWatcher(w.options())); !strings.Contains(st.Ledger, "has 2 partitions and must have one") || st.Lanes[0].Lag != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestStatusSaysWhatTheGroupDoes(t *testing.T) {
	inWorld(t, func(w *world) {
		at := time.Now()
		instance := func(id string, since time.Duration, used float64, causes ...string) {
			i := ledger.Instance{Started: at, Version: "v1", Status: "ready=true", Ready: true, Partitions: 2, RateLimit: 25, RateUsed: used}
			for _, cause := range causes {
				i.Pauses = append(i.Pauses, ledger.Pause{Cause: cause, Lane: "backfill", Since: at.Add(-since)})
			}
			w.put(w.by(id, "run"), ledger.InstanceKey(id), ledger.Entry{Instance: &i})
		}
		instance("killed", 0, 7, "outage")
		time.Sleep(fresh)
		instance("a", time.Minute, 1.5, "held")
		instance("b", time.Hour, 2, "held", "refused")
		for _, command := range []Made{
			must2(Hold(w.Context(), w.by("ann", "hold"), backfill, false)),
			must2(Rate(w.Context(), w.by("ann", "rate"), 5, time.Hour)),
		} {
			if command.Instances != 2 {
				t.Errorf("%d instances obey, want 2", command.Instances)
			}
		}
		must2(Hold(w.Context(), w.by("ann", "hold"), ledger.HoldBatch("not sent yet"), true))
		b := w.begin("spring", 2)
		must2(Hold(w.Context(), w.by("ann", "hold"), ledger.HoldBatch("spring"), false))
		sent := w.send("spring", b, 1, 2)
		w.Settle(sent[0], "", decision.Expired)

		watcher := NewWatcher(w.options())
		st := w.mustRead(watcher)
		if st.Ledger != "ok" || len(st.Holds) != 2 || st.Holds[0].Target != "batch not sent yet" || st.Holds[1].Target != "lane backfill" || st.Holds[1].Actor != "ann@backoffice" || st.Holds[1].Why != "because of ann" {
			t.Errorf("holds: %+v", st)
		}
		if r := st.Rate; r.Set != 5 || r.Until == nil || r.Order.Actor != "ann@backoffice" || r.Allowed != 50 || r.Unlimited || r.Used != 3.5 {
			t.Errorf("rate: %+v", r)
		}
		if len(st.Pauses) != 2 || st.Pauses[0].Cause != "held" || st.Pauses[0].Instances != 2 || !st.Pauses[0].Since.Equal(at.Add(-time.Hour)) || st.Pauses[1].Instances != 1 {
			t.Errorf("pauses: %+v", st.Pauses)
		}
		if len(st.Instances) != 3 || st.Instances[0].Gone || !st.Instances[2].Gone || st.Instances[2].ID != "killed" {
			t.Errorf("instances: %+v", st.Instances)
		}
		if len(st.Batches) != 1 || st.Batches[0].Settled != 1 || st.DeadLetters["expired"] != 1 {
			t.Errorf("batches: %+v, %v", st.Batches, st.DeadLetters)
		}

		// The next one goes on from there.
		w.Settle(sent[1], decision.Completed, "")
		time.Sleep(40 * time.Minute)
		w.Settle(bulktest.BeforeAt(sent[0], sent[0]), "", decision.Lost)
		if st = w.mustRead(watcher); len(st.Batches) != 1 || st.Batches[0].State != BatchDone || st.DeadLetters["expired"] != 1 || st.DeadLetters["lost"] != 1 {
			t.Errorf("%+v, %v", st.Batches, st.DeadLetters)
		}
		if st = w.mustRead(watcher); len(st.Batches) != 0 {
			t.Errorf("a batch that is done is still shown: %+v", st.Batches)
		}
		time.Sleep(30 * time.Minute)
		if st = w.mustRead(watcher); len(st.DeadLetters) != 1 || st.DeadLetters["lost"] != 1 || st.Rate.Set != 0 {
			t.Errorf("an hour later: %v, %+v", st.DeadLetters, st.Rate)
		}
	})
}

func TestWatchWaitsOutErrorsButTheFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, stop := context.WithCancel(w.Context())
		shown, failed := 0, 0
		err := NewWatcher(w.options()).Watch(ctx, time.Second, func(*Status) error {
			if shown++; shown == 1 {
				w.Network.Cut()
			} else {
				stop()
			}
			return nil
		}, func(error) {
			if failed++; failed == 2 {
				w.Network.Mend()
			}
		})
		if err != nil || shown != 2 || failed < 2 {
			t.Errorf("%v, shown %d times, failed %d times", err, shown, failed)
		}
		w.Network.Cut()
		if err := NewWatcher(w.options()).Watch(w.Context(), time.Second, nil, nil); err == nil {
			t.Error("no Kafka is no error")
		}
		w.Network.Mend()
	})
}

func must2(made Made, err error) Made {
	if err != nil {
		panic(err)
	}
	return made
}

func TestWaitingCountsFromTheCommit(t *testing.T) {
	b := broker.Bound{First: 10, End: 30}
	for name, tc := range map[string]struct {
		commit            broker.GroupOffset
		committed, latest bool
		lag, backlog      int64
	}{
		"none":                  {broker.GroupOffset{}, false, false, 20, 20},
		"none, from latest":     {broker.GroupOffset{}, false, true, 0, 0},
		"commit":                {broker.GroupOffset{Offset: 25}, true, false, 5, 5},
		"another's metadata":    {broker.GroupOffset{Offset: 25, Metadata: "host-1"}, true, false, 5, 5},
		"before what is left":   {broker.GroupOffset{Offset: 3}, true, false, 20, 20},
		"of a topic made again": {broker.GroupOffset{Offset: 99}, true, false, 0, 0},
	} {
		if lag, backlog := waiting(b, tc.commit, tc.committed, tc.latest); lag != tc.lag || backlog != tc.backlog {
			t.Errorf("%s: lag %d, backlog %d", name, lag, backlog)
		}
	}
	settled := offsetsOf(t, 25, 27, 29)
	if lag, backlog := waiting(b, broker.GroupOffset{Offset: 25, Metadata: settled}, true, false); lag != 5 || backlog != 3 {
		t.Errorf("two of five are settled: lag %d, backlog %d", lag, backlog)
	}
}
