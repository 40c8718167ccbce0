package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/offsets"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/metrics"
)

// commits returns how many commits with an outcome the member counted.
func (m *member) commits(outcome metrics.CommitOutcome) int {
	return int(testutil.ToFloat64(m.metrics.Commits.WithLabelValues(string(outcome))))
}

func TestCommitIsMadeWithinCommitInterval(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").hold().start(func(o *consumer.Options) { o.CommitInterval = time.Second })
		w.produce(0, numbers(0, 3)...)
		m.awaitAccepted(3)
		for i, r := range m.all() {
			settled := time.Now()
			r.claim.Settle(r.rec.Offset)
			w.awaitCommitted(0, int64(i+1))
			if took := time.Since(settled); took > time.Second {
				t.Errorf("offset %d was committed %v after it was settled, want at most 1s", i, took)
			}
			time.Sleep(10 * time.Second)
		}
		m.stop()
	})
}

func TestCommitGathersWhatSettlesTogether(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.newMember("m").hold().start(func(o *consumer.Options) { o.CommitInterval = time.Second })
		w.produce(0, numbers(0, 20)...)
		w.produce(1, numbers(20, 20)...)
		m.awaitAccepted(40)
		w.noteRequests()
		for _, r := range m.all() {
			r.claim.Settle(r.rec.Offset)
			time.Sleep(10 * time.Millisecond)
		}
		w.awaitCommitted(0, 20)
		w.awaitCommitted(1, 20)
		if got := w.seen("commit"); len(got) > 2 {
			t.Errorf("%d commits for 400ms of settling, want at most 2: %q", len(got), got)
		}
		m.stop()
		if n := m.commits(metrics.CommitOK); n != len(w.seen("commit")) {
			t.Errorf("%d commits counted, want %d", n, len(w.seen("commit")))
		}
	})
}

func TestCommitCarriesSettledSetAndProgress(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").hold().start()
		w.produce(0, numbers(0, 6)...)
		m.awaitAccepted(6)
		claim := m.all()[0].claim
		claim.Settle(0)
		claim.Settle(3)
		claim.Attempted(1, decision.Progress{Attempts: 2, MaybeApplied: true})
		claim.Attempted(2, decision.Progress{Attempts: 1})
		claim.Attempted(2, decision.Progress{}) // taken back
		claim.Attempted(3, decision.Progress{Attempts: 9})
		claim.Attempted(4, decision.Progress{Attempts: 1})
		claim.Settle(4)
		w.awaitCommitted(0, 1)
		_, metadata, _ := w.cluster.Committed(group, topic, 0)
		settled, open, err := offsets.Decode(metadata, 1)
		if err != nil || !slices.Equal(settled, []offsets.Run{{From: 3, To: 5}}) {
			t.Errorf("settled beyond the commit: %v, %v, want 3 and 4", settled, err)
		}
		want := decision.Progress{Attempts: 2, MaybeApplied: true}
		if len(open) != 1 || open[1] != want {
			t.Errorf("progress %v, want %v of offset 1", open, want)
		}
		claim.Attempted(2, want) // alone
		w.await(time.Second, "the attempt's commit", func() bool {
			_, metadata, _ := w.cluster.Committed(group, topic, 0)
			_, open, _ := offsets.Decode(metadata, 1)
			return open[2] == want
		})
		m.stop()
	})
}

func TestCommitIsRetriedWhenCoordinatorMoves(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start()
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned")) > 0 })
		w.forget()
		w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.NotCoordinatorForGroup), Times: 3})
		w.produce(0, "x")
		w.awaitCommitted(0, 1)
		synctest.Wait()
		got := w.seen("health")
		if len(got) != 2 || !strings.HasPrefix(got[0], "m health commit: commit decisions/0: ") || got[1] != "m health commit: <nil>" {
			t.Errorf("health changes %q, want the commit failing once and working once", got)
		}
		if n := m.commits(metrics.CommitError); n != 3 {
			t.Errorf("%d failed commits counted, want 3", n)
		}

		for i := range 5 {
			w.cluster.MoveCoordinators()
			w.produce(0, fmt.Sprint(i))
			w.awaitCommitted(0, int64(i+2))
		}
		m.stop()
	})
}

// A commit that the network delivers after the client gave it up, and after later
// ones, moves the offset back. It must not stay there: not while the generation
// lasts, nor at its end.
func TestCommitThatArrivesLateIsOverwritten(t *testing.T) {
	for name, ends := range map[string]bool{"in time": false, "at the end": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				m := w.newMember("m").start()
				w.awaitCommitted(0, 0) // where it began
				const late = 12 * time.Second
				held := false
				w.cluster.Kfake().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
					w.cluster.Kfake().KeepControl()
					if !held {
						held = true
						w.cluster.Kfake().SleepControl(func() { time.Sleep(late) })
					}
					return nil, nil, false
				})
				began := time.Now()
				w.produce(0, numbers(0, 3)...)
				m.awaitAccepted(3)
				time.Sleep(time.Second)
				w.produce(0, numbers(3, 3)...)
				w.awaitCommitted(0, 6)
				if took := time.Since(began); took > late {
					t.Fatalf("committed after %v; the late commit should come after it", took)
				}
				w.await(late, "the late commit moves the offset back", func() bool { return w.committed(0) == 3 })
				if ends {
					m.stop()
				} else {
					time.Sleep(11 * time.Second)
				}
				if got := w.committed(0); got != 6 {
					t.Errorf("committed %d, want 6 again", got)
				}
				if !ends {
					m.stop()
				}
			})
		})
	}
}

// As long as each commit is answered, a position is committed once.
func TestUnchangedPositionIsNotCommittedAgain(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start()
		w.produce(0, "x")
		w.awaitCommitted(0, 1)
		w.noteRequests()
		time.Sleep(time.Minute)
		m.stop()
		if got := w.seen("commit"); len(got) > 0 {
			t.Errorf("commits %q, want none", got)
		}
	})
}

// A member that the group does not know any more gives up its partitions, joins
// again and goes on from what it could not commit.
func TestFencedCommitEndsTheGeneration(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		for _, code := range []kafka.Error{kafka.UnknownMemberId, kafka.IllegalGeneration, kafka.FencedInstanceID} {
			m := w.newMember("m").start()
			w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned 1/1")) > 0 && w.committed(0) >= 0 })
			// The commit of the running generation, and its last one.
			fault := w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(code), Times: 2})
			offset := w.produce(0, "x")
			w.awaitCommitted(0, offset+1)
			if fault.Hits() != 2 {
				t.Errorf("%v: %d commits refused, want 2", code, fault.Hits())
			}
			got := w.seen("m ")
			accept := fmt.Sprint("m accept 0/", offset)
			if want := []string{"m assigned 1/1", accept, "m drain", "m drained", "m assigned 0/1", "m assigned 1/1"}; !slices.Equal(got, want) {
				t.Errorf("%v: events %q, want %q", code, got, want)
			}
			if !w.logged("level=WARN", "the last commit of the generation failed", "no longer knows this member") {
				t.Errorf("%v: the log does not name the last commit that failed", code)
			}
			m.stop()
			w.forget()
		}
	})
}

// The span is held back to what the broker's metadata can carry, and moves on.
func TestNarrowMetadataReducesTheSpan(t *testing.T) {
	for _, c := range []struct {
		limit int   // of the broker, in bytes
		first int   // records whose bitmap is beyond the limit
		span  int64 // after the metadata was halved until the broker took it
	}{
		{limit: 0, first: 50, span: offsets.SpanThatFits(0)},
		{limit: 30, first: 300, span: offsets.SpanThatFits(0)},
		{limit: 100, first: 1000, span: offsets.SpanThatFits(64)},
		{limit: 300, first: 2000, span: offsets.SpanThatFits(256)},
	} {
		t.Run(fmt.Sprint(c.limit), func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.cluster.LimitMetadata(c.limit)
				m := w.newMember("m")
				m.settles = func(rec decision.Record) bool { return rec.Offset != 0 && rec.Offset%2 == 0 }
				m.start()
				w.produce(0, numbers(0, c.first)...)
				m.awaitAccepted(c.first)
				w.await(time.Minute, "a commit is refused and the next one accepted", func() bool {
					return m.commits(metrics.CommitError) > 0 && m.commits(metrics.CommitOK) > 0
				})
				_, metadata, _ := w.cluster.Committed(group, topic, 0)
				if c.limit > 64 && metadata == "" {
					t.Error("committed without metadata, though the broker takes some")
				}
				if len(metadata) > c.limit {
					t.Errorf("committed %d bytes of metadata, the limit is %d", len(metadata), c.limit)
				}
				w.produce(0, numbers(c.first, 3000)...)
				time.Sleep(time.Minute)
				if n, want := len(m.all()), max(c.first, int(c.span)); n != want {
					t.Errorf("%d records accepted beyond the commit, want %d", n, want)
				}
				if got := w.committed(0); got != 0 {
					t.Errorf("committed %d, though offset 0 is open", got)
				}
				w.await(time.Minute, "everything is committed", func() bool {
					m.settleAll()
					return w.committed(0) == int64(c.first+3000)
				})
				m.stop()
			})
		})
	}
}

// What could not be committed belongs to a generation that is over.
func TestNewGenerationClearsCommitFailure(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupCoordinatorNotAvailable)})
		a := w.newMember("a")
		settled := false
		a.settles = func(decision.Record) bool { first := !settled; settled = true; return first }
		a.start()
		w.produce(0, "x")
		w.await(time.Minute, "the commit fails", func() bool { return len(w.seen("a health commit")) == 1 })
		b := w.newMember("b").hold().start()
		w.await(time.Minute, "a new generation", func() bool { return slices.Contains(w.seen(), "a assigned 1/2") })
		if got := w.seen("a health commit"); len(got) != 2 || got[1] != "a health commit: <nil>" {
			t.Errorf("health changes %q, want the commit failing, and cleared", got)
		}
		a.stop()
		b.stop()
	})
}

func TestLastCommitGivesUpInTime(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.newMember("m").start()
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned")) > 0 })
		fault := w.cluster.Inject(embedded.Fault{API: embedded.OffsetCommit, Code: int(kafka.GroupCoordinatorNotAvailable)})
		w.produce(0, "x")
		m.awaitAccepted(1)
		time.Sleep(time.Minute)
		began := time.Now()
		m.stop()
		if took := time.Since(began); took < 4*time.Second || took > 7*time.Second {
			t.Errorf("stopped after %v, want the 5s of a last commit", took)
		}
		if !w.logged("level=WARN", "the last commit of the generation failed") {
			t.Error("the log does not name the last commit that failed")
		}
		fault.Lift()
		next := w.newMember("next").start()
		next.awaitAccepted(1)
		w.awaitCommitted(0, 1)
		next.stop()
	})
}
