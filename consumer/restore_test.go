package consumer_test

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer"
	"verdict/consumer/offsets"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"
	"verdict/test/fixture"
)

func startLatest(o *consumer.Options) { o.StartLatest = true }

// deleteRecords deletes the records of partition 0 before an offset, as retention
// does.
func (w *world) deleteRecords(before int64) {
	w.t.Helper()
	fixture.DeleteRecords(w.t, w.cluster, w.network, topic, 0, before)
}

// metadata returns what a commit of base carries when these offsets are settled.
func metadata(base int64, open map[int64]decision.Progress, settled ...int64) string {
	t := offsets.NewTracker(base)
	for offset := base; offset < base+20; offset++ {
		t.Track(offset)
	}
	for _, offset := range settled {
		t.Settle(offset)
	}
	return offsets.Encode(t, open, offsets.DefaultMetadataSize)
}

// progress is what an earlier owner reported of two decisions.
var progress = map[int64]decision.Progress{4: {Attempts: 3}, 6: {Attempts: 1, MaybeApplied: true}}

// restored are commits, and what a new owner makes of them. Partition 0 has the
// offsets 0 to 9.
var restored = map[string]struct {
	commit      int64 // -1: none
	metadata    string
	latest      bool
	deleted     int64 // before this offset
	want        []int64
	before      map[int64]decision.Progress
	level, line string // of the log; empty: no line above INFO
	details     string
}{
	"no commit, earliest":         {commit: -1, want: []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	"no commit, records deleted":  {commit: -1, deleted: 7, want: []int64{7, 8, 9}},
	"no commit, latest":           {commit: -1, latest: true},
	"commit":                      {commit: 7, want: []int64{7, 8, 9}},
	"commit, latest":              {commit: 7, latest: true, want: []int64{7, 8, 9}},
	"commit of the end":           {commit: 10},
	"settled beyond the commit":   {commit: 4, metadata: metadata(4, nil, 5, 8), want: []int64{4, 6, 7, 9}},
	"progress":                    {commit: 4, metadata: metadata(4, progress, 5, 8), want: []int64{4, 6, 7, 9}, before: progress},
	"progress of a settled one":   {commit: 4, metadata: metadata(4, progress, 5, 6), want: []int64{4, 7, 8, 9}, before: map[int64]decision.Progress{4: {Attempts: 3}}},
	"another program's metadata":  {commit: 4, metadata: "theirs", want: []int64{4, 5, 6, 7, 8, 9}, level: "WARN", line: "ignoring commit metadata that Verdict did not write", details: "committed=4"},
	"commit of a deleted record":  {commit: 2, deleted: 7, want: []int64{7, 8, 9}, level: "ERROR", line: "decisions were deleted by the topic's retention", details: "next=2 first=7 lost=5"},
	"all records deleted":         {commit: 2, deleted: 10, level: "ERROR", line: "decisions were deleted by the topic's retention", details: "next=2 first=10 lost=8"},
	"settled past what's deleted": {commit: 2, metadata: metadata(2, map[int64]decision.Progress{9: {Attempts: 1}}, 4, 8), deleted: 7, want: []int64{7, 9}, before: map[int64]decision.Progress{9: {Attempts: 1}}, level: "ERROR", line: "decisions were deleted by the topic's retention", details: "lost=4"},
}

func TestRestoreDecidesWhereAClaimBegins(t *testing.T) {
	for name, c := range restored {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.produce(0, numbers(0, 10)...)
				if c.commit >= 0 {
					w.commit(0, c.commit, c.metadata)
				}
				if c.deleted > 0 {
					w.deleteRecords(c.deleted)
				}
				m := w.newMember("m").start(func(o *consumer.Options) { o.StartLatest = c.latest })
				w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned")) > 0 })
				time.Sleep(time.Second)
				var got []int64
				before := make(map[int64]decision.Progress)
				for _, r := range m.all() {
					got = append(got, r.rec.Offset)
					if r.before != (decision.Progress{}) {
						before[r.rec.Offset] = r.before
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("accepted %v, want %v", got, c.want)
				}
				if !maps.Equal(before, c.before) {
					t.Errorf("progress %v, want %v", before, c.before)
				}
				if c.line == "" && (w.logged("level=WARN") || w.logged("level=ERROR")) {
					t.Error("the log warns without a reason")
				}
				if c.line != "" && !w.logged("level="+c.level, c.line, c.details) {
					t.Errorf("the log has no line %q with %s", c.line, c.details)
				}
				m.stop()
				if got, _, _ := w.cluster.Committed(group, topic, 0); got != 10 {
					t.Errorf("committed %d, want the end 10", got)
				}
			})
		})
	}
}

func TestRestoreDropsProgressOfSettledOffsets(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 10)...)
		w.commit(0, 4, metadata(4, map[int64]decision.Progress{5: {Attempts: 1}, 6: {Attempts: 2}}, 6))
		m := w.newMember("m").hold().start()
		m.awaitAccepted(5)
		m.all()[0].claim.Settle(4)
		w.awaitCommitted(0, 5)
		_, metadata, _ := w.cluster.Committed(group, topic, 0)
		settled, open, err := offsets.Decode(metadata, 5)
		if want := (decision.Progress{Attempts: 1}); err != nil || !slices.Equal(settled, []offsets.Run{{From: 6, To: 7}}) || len(open) != 1 || open[5] != want {
			t.Errorf("settled %v, progress %v, %v, want 6 settled and the progress of 5 alone", settled, open, err)
		}
		m.stop()
	})
}

// A group that began at the end must not begin at a later end after a restart.
func TestRestoreCommitsTheEndItBeganAt(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 5)...)
		m := w.newMember("m").start(startLatest)
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned")) > 0 })
		m.stop()
		w.produce(0, "without a member")
		m = w.newMember("m").start(startLatest)
		m.awaitAccepted(1)
		if got := m.values(); !slices.Equal(got, []string{"without a member"}) {
			t.Errorf("accepted %q", got)
		}
		m.stop()
	})
}

// Nor may it do so after a crash, though nothing was ever settled.
func TestRestoreCommitsAtOnceWhereItBegins(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 5)...)
		m := w.newMember("m").hold().start(startLatest)
		w.await(time.Minute, "assigned", func() bool { return len(w.seen("m assigned")) > 0 })
		time.Sleep(time.Second)
		if got := w.committed(0); got != 5 {
			t.Errorf("committed %d a second after the start, want the end 5", got)
		}
		m.stop()
	})
}

// The topic was created again, or lost records: below the commit everything may
// have been applied, and what the metadata says is about other records.
func TestRestoreBeyondTheEndReadsFromTheStart(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 10)...)
		w.commit(0, 12, metadata(12, map[int64]decision.Progress{13: {Attempts: 4}}, 14))
		m := w.newMember("m").start(startLatest)
		m.awaitAccepted(10)
		w.awaitCommitted(0, 10)
		w.produce(0, numbers(10, 5)...)
		m.awaitAccepted(15)
		for i, r := range m.all() {
			if want := (decision.Progress{MaybeApplied: i < 15}); r.rec.Offset != int64(i) || r.before != want {
				t.Errorf("record %d is offset %d with %+v, want %+v", i, r.rec.Offset, r.before, want)
			}
		}
		if !w.logged("level=ERROR", "the commit reaches beyond the partition's end", "committed=12 settled=15 end=10") {
			t.Error("the log does not say that the commit lies beyond the end")
		}
		m.stop()
	})
}

// Here only what was settled beyond the commit lies beyond the end.
func TestRestoreDoesNotTakeNewRecordsForSettledOnes(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.produce(0, numbers(0, 10)...)
		w.commit(0, 2, metadata(2, nil, 3, 4, 5, 14))
		m := w.newMember("m").start()
		m.awaitAccepted(10)
		w.awaitCommitted(0, 10)
		for i, r := range m.all() {
			if r.rec.Offset != int64(i) || !r.before.MaybeApplied {
				t.Errorf("record %d is offset %d with %+v", i, r.rec.Offset, r.before)
			}
		}
		m.stop()
	})
}

func TestRestoreRetriesUntilTheOffsetsAreRead(t *testing.T) {
	for name, fault := range map[string]embedded.Fault{
		"commits": {API: embedded.OffsetFetch, Code: int(kafka.GroupCoordinatorNotAvailable)},
		"ends":    {API: embedded.ListOffsets, Code: int(kafka.NotLeaderForPartition)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.produce(0, numbers(0, 5)...)
				w.commit(0, 2, "")
				away := w.cluster.Inject(fault)
				m := w.newMember("m").start()
				time.Sleep(time.Minute)
				if got := w.seen(); len(got) != 1 || !strings.HasPrefix(got[0], "m health offsets: read the ") {
					t.Errorf("events %q, want one: the offsets can't be read", got)
				}
				away.Lift()
				m.awaitAccepted(3)
				if got := w.seen("health"); len(got) != 2 || got[1] != "m health offsets: <nil>" {
					t.Errorf("health changes %q, want failing once and working once", got)
				}
				if got := m.values(); !slices.Equal(got, numbers(2, 3)) {
					t.Errorf("accepted %q, want those from the commit on", got)
				}
				m.stop()
			})
		})
	}
}

// TestPartitionsAddedWhileNobodyRanAreReadFromTheirStart has a group that begins at the end
// stop before its topic, empty or not, gets another partition.
func TestPartitionsAddedWhileNobodyRanAreReadFromTheirStart(t *testing.T) {
	for _, empty := range []bool{false, true} {
		inWorld(t, 2, func(t *testing.T, w *world) {
			if !empty {
				w.produce(0, "old")
			}
			m := w.newMember("m").start(startLatest)
			w.await(time.Minute, "assigned", func() bool { return slices.Contains(w.seen(), "m assigned 2/2") })
			time.Sleep(time.Second)
			m.stop()
			w.addPartitions(topic, 3)
			w.conn.Close()
			w.conn = w.connect() // which never knew the topic to be smaller
			w.produce(2, "early")
			w.forget()
			m = w.newMember("n").start(startLatest)
			m.awaitAccepted(1)
			w.wantEvents([]string{"n accept 2/0"}, "accept")
			m.stop()
		})
	}
}

// TestPartitionWithoutALeaderHoldsNobodyElse has one partition that no broker leads when a
// member begins.
func TestPartitionWithoutALeaderHoldsNobodyElse(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		for p := range 3 {
			w.produce(p, "one", "two")
		}
		w.commit(1, 1, "")
		var back atomic.Bool
		refuse := func(code int16) func(kmsg.Request) (kmsg.Response, error, bool) {
			return func(req kmsg.Request) (kmsg.Response, error, bool) {
				w.cluster.Kfake().KeepControl()
				list, ok := req.(*kmsg.ListOffsetsRequest)
				if back.Load() || !ok || !slices.ContainsFunc(list.Topics[0].Partitions, func(p kmsg.ListOffsetsRequestTopicPartition) bool { return p.Partition == 1 }) {
					return nil, nil, false
				}
				res := req.ResponseKind().(*kmsg.ListOffsetsResponse)
				for _, asked := range list.Topics {
					answer := kmsg.ListOffsetsResponseTopic{Topic: asked.Topic}
					for _, p := range asked.Partitions {
						answer.Partitions = append(answer.Partitions, kmsg.ListOffsetsResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
					}
					res.Topics = append(res.Topics, answer)
				}
				return res, nil, true
			}
		}
		w.cluster.Kfake().ControlKey(int16(kmsg.ListOffsets), refuse(int16(kafka.LeaderNotAvailable)))
		m := w.newMember("m").start()
		m.awaitAccepted(4)
		accepted := slices.Sorted(slices.Values(w.seen("accept")))
		if want := []string{"m accept 0/0", "m accept 0/1", "m accept 2/0", "m accept 2/1"}; !slices.Equal(accepted, want) {
			t.Errorf("%q, want %q", accepted, want)
		}
		if len(w.seen("health")) > 0 {
			t.Errorf("one partition is taken for the cluster: %v", w.seen("health"))
		}
		if !w.logged("a partition can't be read", "partition=1") {
			t.Error("the log does not name it")
		}
		back.Store(true)
		m.awaitAccepted(5)
		if last := w.seen("accept")[4]; last != "m accept 1/1" {
			t.Errorf("%s, want what follows the commit", last)
		}
		m.stop()
	})
}
