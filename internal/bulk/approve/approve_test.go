package approve_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/approve"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// heldTopic stands for the topic of held decisions.
const heldTopic = "elsewhere"

func by(b *bulktest.Kafka, actor, run string) store.Options {
	return store.Options{
		Connection: b.Conn, Control: "control", Audit: "audit", Group: "verdict",
		Author: ledger.Author{Actor: actor, Host: "h", Run: run, Command: "test"},
	}
}

// row returns the ith decision as a run writes it.
func row(topic, run string, i int) decision.Record {
	rec := bulktest.Decision(topic, i, decision.Header{Key: decision.HeaderRun, Value: []byte(run)})
	rec.Partition = broker.ByKey
	return rec
}

// submitted has a batch of n decisions wait for approval, between records of others. change
// may change its entry.
func submitted(b *bulktest.Kafka, n int, change func(*ledger.Batch)) {
	b.Helper()
	b.Put(row(heldTopic, "another", 5000))
	bounds, err := b.Conn.Bounds(b.Context(), heldTopic)
	if err != nil {
		b.Fatal(err)
	}
	w, err := store.Open(b.Context(), by(b, "alice", "s1"), ledger.BatchKey("spring"))
	if err != nil {
		b.Fatal(err)
	}
	batch := ledger.Batch{
		Topic: heldTopic, Size: int64(n), Sent: int64(n), Done: int64(n), Submitter: w.Author(), Runs: []string{"s0", "s1"},
		Began: time.Now(), Ended: time.Now(), Begin: map[int]int64{}, Approval: &ledger.Approval{To: bulktest.BackfillTopic},
	}
	for partition, bound := range bounds {
		batch.Begin[partition] = bound.End
	}
	if change != nil {
		change(&batch)
	}
	var rows []decision.Record
	for i := range n {
		rows = append(rows, row(heldTopic, []string{"s0", "s1", "another"}[min(i%7, 1)], i), row(heldTopic, "another", 6000+i))
	}
	if _, err := w.Write(b.Context(), store.Change{Rows: rows, Entries: []store.KeyedEntry{{Key: ledger.BatchKey("spring"), Entry: ledger.Entry{Batch: &batch}}}}); err != nil {
		b.Fatal(err)
	}
}

// moved returns the keys in the lane's topic, by partition and in order.
func moved(b *bulktest.Kafka) (all int, order map[int][]string) {
	order = make(map[int][]string)
	for _, rec := range b.All(bulktest.BackfillTopic) {
		all++
		order[rec.Partition] = append(order[rec.Partition], string(rec.Key))
	}
	return all, order
}

func TestApprovedBatchIsMovedInOrderOnce(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		submitted(b, 300, nil)
		o := approve.Options{Store: by(b, "bob", "a1"), Batch: "spring", Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}}
		sum, err := approve.Approve(b.Context(), o)
		if err != nil || sum != (approve.Summary{Size: 300, Moved: 300}) {
			b.Fatalf("%+v, %v", sum, err)
		}
		n, order := moved(b)
		if n != 300 {
			b.Errorf("%d decisions were moved, want 300", n)
		}
		for partition, keys := range order {
			for i := 1; i < len(keys); i++ {
				if keys[i] <= keys[i-1] {
					b.Errorf("partition %d: %s after %s", partition, keys[i], keys[i-1])
				}
			}
		}
		sum, err = approve.Approve(b.Context(), o)
		if done, ok := errors.AsType[*approve.DoneError](err); !ok || done.By.Actor != "bob" || sum.Moved != 0 {
			b.Errorf("again: %+v, %v", sum, err)
		}
		if acts := b.All("audit"); len(acts) != 2 || !strings.Contains(string(acts[0].Value), `"bob"`) {
			b.Errorf("%d acts", len(acts))
		}
	})
}

func TestApprovalNeedsASecondPersonAndACompleteBatch(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*ledger.Batch)
		actor  string
		why    string
	}{
		"the submitter":        {nil, "alice", "somebody else has to approve"},
		"who names another":    {func(b *ledger.Batch) { b.Submitter.Actor = "carol" }, "alice", "somebody else has to approve"},
		"needs none":           {func(b *ledger.Batch) { b.Approval = nil }, "bob", "needs no approval"},
		"is being sent":        {func(b *ledger.Batch) { b.Ended = time.Time{} }, "bob", "is not complete yet"},
		"for another topic":    {func(b *ledger.Batch) { b.Approval.To = bulktest.ResultsTopic }, "bob", "no lane of this configuration"},
		"lacks some":           {func(b *ledger.Batch) { b.Sent++ }, "bob", "has 11 decisions, but 10 were found"},
		"begins before it all": {func(b *ledger.Batch) { b.Begin = map[int]int64{0: -1} }, "bob", "may have been deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			bulktest.InKafka(t, func(b *bulktest.Kafka) {
				submitted(b, 10, tc.change)
				_, err := approve.Approve(b.Context(), approve.Options{Store: by(b, tc.actor, "a1"), Batch: "spring", Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}})
				if err == nil || !strings.Contains(err.Error(), tc.why) {
					b.Errorf("%v, want %s", err, tc.why)
				}
			})
		})
	}
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		submitted(b, 1, nil)
		if _, err := approve.Approve(b.Context(), approve.Options{Store: by(b, "bob", "a1"), Batch: "sping", Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}}); err == nil || !strings.Contains(err.Error(), "no batch sping") {
			b.Error(err)
		}
		w, err := store.Open(b.Context(), by(b, "bob", "c1"), ledger.HoldBatch("spring"))
		if err != nil {
			b.Fatal(err)
		}
		hold := ledger.Entry{Hold: &ledger.Hold{Cancelled: map[string]map[int]int64{heldTopic: {0: 9}}}}
		if _, err := w.Write(b.Context(), store.Change{Entries: []store.KeyedEntry{{Key: ledger.HoldBatch("spring"), Entry: hold}}}); err != nil {
			b.Fatal(err)
		}
		if _, err := approve.Approve(b.Context(), approve.Options{Store: by(b, "bob", "a1"), Batch: "spring", Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}}); err == nil || !strings.Contains(err.Error(), "was cancelled") {
			b.Error(err)
		}
	})
}

// Approvers are cut off at any moment and take over from each other.
func TestApprovalThatIsCutOffGoesOn(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		const n = 45_000 // three transactions
		submitted(b, n, nil)
		total := approve.Summary{}
		for i, actor := range []string{"bob", "carol", "bob"} {
			ctx, cancel := context.WithCancel(b.Context())
			o := approve.Options{Store: by(b, actor, fmt.Sprint("a", i)), Batch: "spring", Targets: []string{bulktest.LiveTopic, bulktest.BackfillTopic}}
			o.Progress = func(int64) {
				if i < 2 {
					cancel()
				}
			}
			sum, err := approve.Approve(ctx, o)
			cancel()
			if (err != nil) != (i < 2) {
				b.Fatalf("call %d: %+v, %v", i, sum, err)
			}
			if sum.Earlier != total.Moved {
				b.Errorf("call %d says %d were moved earlier, want %d", i, sum.Earlier, total.Moved)
			}
			total.Moved += sum.Moved
		}
		seen := make(map[string]bool)
		for _, rec := range b.All(bulktest.BackfillTopic) {
			seen[string(rec.Key)] = true
		}
		if all, _ := moved(b); all != n || len(seen) != n {
			b.Errorf("%d records of %d decisions, want %d", all, len(seen), n)
		}
		state, err := store.Read(b.Context(), by(b, "r", "r"), nil)
		if err != nil {
			b.Fatal(err)
		}
		e, _ := state.Batch("spring")
		if a := e.Batch.Approval; a.By.Actor != "bob" || a.Count != n || a.Ended.IsZero() || !maps.Equal(a.Begin, map[int]int64{0: 0, 1: 0, 2: 0}) {
			b.Errorf("%+v", a)
		}
	})
}
