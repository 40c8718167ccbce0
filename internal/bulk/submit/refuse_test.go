package submit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/submit"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// stopped runs a submit that is stopped after some time.
func (m *machine) stopped(after time.Duration, change ...func(*submit.Options)) {
	m.world.t.Helper()
	ctx, cancel := context.WithTimeout(m.world.t.Context(), after)
	defer cancel()
	if _, err := m.submit(ctx, change...); !errors.Is(err, context.DeadlineExceeded) {
		m.world.t.Fatalf("want a submit that is stopped, not %v", err)
	}
}

func TestSubmitRefusesWhatContradictsTheLedger(t *testing.T) {
	inSubmitWorld(t, 500, func(t *testing.T, w *submitWorld) {
		refused := func(want string, change ...func(*submit.Options)) {
			t.Helper()
			before := w.acts()
			if _, err := w.submit(t.Context(), change...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if after := w.acts(); after != before {
				t.Errorf("the refused submit did something: %s", after)
			}
		}
		if err := w.cluster.CreateTopic("other", 3, nil); err != nil {
			t.Fatal(err)
		}
		w.check.BatchID = "b"
		w.here.stopped(250*time.Millisecond, rate(1000))
		w.check.Rows.Set = map[string]string{"source": "x"}
		refused(`batch b was started with --set "batch_id=b" and 500 decisions to send, and now has --set "batch_id=b" --set "source=x" and 500; give the same flags`)
		w.check.Rows.Set = nil
		refused("batch b was started in topic "+laneTopic+", not in other; give the same --lane", func(o *submit.Options) { o.Topic = "other" })
		w.check.BatchID = ""
		refused("the same content was started as batch b (" + w.file + ") by somebody on here and not finished: 200 of its 500 decisions are sent; continue it with --batch-id b, or cancel it")
		w.check.BatchID = "other"
		refused("the same content was started as batch b")
		w.check.BatchID = "b"
		w.write(w.file, 500, 2)
		refused("batch b was started with other content by somebody on here")
		w.write(w.file, 500, 1)
		if _, err := w.submit(t.Context()); err != nil {
			t.Error(err)
		}
		w.checkOnce()
		refused("batch b was submitted completely at")
		w.check.BatchID = "" // nothing shows that it is meant to be sent again
		if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "batch b was submitted completely at") {
			t.Errorf("without an ID: %v", err)
		}
		w.check.BatchID = "again"
		if done, err := w.submit(t.Context()); err != nil || done.Sent != 500 {
			t.Errorf("again, under another ID: %+v, %v", done, err)
		}
	})
}

// A batch that was cancelled is not continued, and does not keep its content from being
// sent under another ID.
func TestSubmitContinuesNoCancelledBatch(t *testing.T) {
	inSubmitWorld(t, 500, func(t *testing.T, w *submitWorld) {
		w.check.BatchID = "wrong"
		w.here.stopped(200*time.Millisecond, rate(1000))
		o := store.Options{Connection: w.here.connection, Control: controlTopic, Audit: auditTopic, Group: group, Author: ledger.Author{Run: "canceller"}}
		hold, err := store.Open(t.Context(), o, ledger.HoldBatch("wrong"))
		if err != nil {
			t.Fatal(err)
		}
		cancelled := ledger.Hold{Cancelled: map[string]map[int]int64{laneTopic: {0: 1}}}
		if _, err := hold.Write(t.Context(), store.Change{Entries: []store.KeyedEntry{{Key: ledger.HoldBatch("wrong"), Entry: ledger.Entry{Hold: &cancelled}}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), "batch wrong was cancelled") {
			t.Errorf("continued: %v", err)
		}
		w.check.BatchID = "right"
		if done, err := w.submit(t.Context()); err != nil || done.Sent != 500 {
			t.Errorf("under another ID: %+v, %v", done, err)
		}
	})
}

func TestSubmitNoticesATopicThatWasMadeAgain(t *testing.T) {
	again := func(w *submitWorld) {
		w.t.Helper()
		if err := errors.Join(w.cluster.DeleteTopic(laneTopic), w.cluster.CreateTopic(laneTopic, 3, nil)); err != nil {
			w.t.Error(err)
		}
	}
	const want = "decisions was deleted and made again after"
	t.Run("in between", func(t *testing.T) {
		inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
			w.check.BatchID = "first"
			w.here.stopped(500*time.Millisecond, rate(1000), func(o *submit.Options) { o.ChunkRows = 50 })
			again(w)
			if _, err := w.submit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("continued: %v", err)
			}
			// The batch that can't be finished does not keep its content from being sent.
			w.check.BatchID = "second"
			if done, err := w.submit(t.Context()); err != nil || done.Sent != 1000 {
				t.Errorf("under another ID: %+v, %v", done, err)
			}
		})
	})
	t.Run("meanwhile", func(t *testing.T) {
		inSubmitWorld(t, 1000, func(t *testing.T, w *submitWorld) {
			time.AfterFunc(500*time.Millisecond, func() { again(w) })
			if _, err := w.submit(t.Context(), rate(500)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("went on: %v", err)
			}
		})
	})
}
