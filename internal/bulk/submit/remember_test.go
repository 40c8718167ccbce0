package submit_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/remembered"
	"verdict/internal/bulk/rows"
	"verdict/internal/bulk/submit"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

const fingerprintsTopic = "fingerprints"

// remembering submits lines as a batch that is remembered, and asks for its rows first
// unless again is set.
func (w *submitWorld) remembering(ctx context.Context, id string, lines []string, again bool, change ...func(*submit.Options)) error {
	w.t.Helper()
	if err := os.WriteFile(w.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	asked := new(remembered.Asked)
	w.check = rows.CheckOptions{BatchID: id, MaxFindings: 5, TempDir: w.t.TempDir(), Valid: func(d *decision.Decision) { asked.Add(remembered.RowOf(d)) }}
	_, err := w.submit(ctx, append(change, func(o *submit.Options) {
		o.Fingerprints = fingerprintsTopic
		if !again {
			o.Asked = asked
		}
	})...)
	return err
}

// linesOf returns n valid decisions, each on a task of its own and without an ID.
func linesOf(t *testing.T, n int, seed uint64) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(bulktest.DecisionLines(t, n, seed)), "\n")
	for i, line := range lines {
		_, rest, ok := strings.Cut(line, `,`)
		if ok && strings.HasPrefix(line, `{"id":`) {
			lines[i] = "{" + rest
		}
	}
	return lines
}

func wantSentBefore(t *testing.T, err error, batch string, n, of int64) {
	t.Helper()
	before, ok := errors.AsType[*submit.SentBeforeError](err)
	if !ok || before.Batch != batch || before.Rows != n || before.Of != of || before.By.Actor != "somebody" {
		t.Errorf("got %v, want %d of %d rows found in batch %s", err, n, of, batch)
	}
}

func TestRowsThatWereSentBeforeAreNoticed(t *testing.T) {
	inSubmitWorld(t, 1, func(t *testing.T, w *submitWorld) {
		sent := linesOf(t, 3000, 1)
		if err := w.remembering(t.Context(), "spring", sent, false); err != nil {
			t.Fatal(err)
		}
		// Under another name, in another order, with new rows among them.
		again := slices.Clone(sent)
		slices.Reverse(again)
		copy(again, linesOf(t, 19, 2))
		wantSentBefore(t, w.remembering(t.Context(), "autumn", again, false), "spring", 2981, 3000)
		if _, known := w.ledger().Batch("autumn"); known {
			t.Error("the ledger has the batch that was refused")
		}
		if err := w.remembering(t.Context(), "autumn", again, true); err != nil {
			t.Fatal(err)
		}
		wantSentBefore(t, w.remembering(t.Context(), "winter", again[:40], false), "autumn", 40, 40)
		if n := len(w.lines()); n != 6000 {
			t.Errorf("%d rows are in the topic, want 6000", n)
		}
	})
}

func TestRowsThatOnlySeemSentAreNotRefused(t *testing.T) {
	inSubmitWorld(t, 1, func(t *testing.T, w *submitWorld) {
		sent := linesOf(t, 3000, 1)
		if err := w.remembering(t.Context(), "spring", sent, false); err != nil {
			t.Fatal(err)
		}
		other := slices.Clone(sent[:200])
		for i, line := range other { // the opposite of what was sent
			if strings.Contains(line, "COMPLETED_PASS") {
				other[i] = strings.Replace(line, "COMPLETED_PASS", "COMPLETED_FAIL", 1)
			} else {
				other[i] = strings.Replace(line, "COMPLETED_FAIL", "COMPLETED_PASS", 1)
			}
		}
		if err := w.remembering(t.Context(), "corrected", other, false); err != nil {
			t.Errorf("opposite states: %v", err)
		}
		// Single rows that the fingerprint takes for its own: one in 256.
		for seed := range uint64(300) {
			if err := w.remembering(t.Context(), "one-"+string(rune('a'+seed/26))+string(rune('a'+seed%26)), linesOf(t, 1, 100+seed), false); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
}

func TestRowsOfACancelledBatchMayBeSentAgain(t *testing.T) {
	inSubmitWorld(t, 1, func(t *testing.T, w *submitWorld) {
		sent := linesOf(t, 100, 1)
		if err := w.remembering(t.Context(), "spring", sent, false); err != nil {
			t.Fatal(err)
		}
		o := store.Options{Connection: w.here.connection, Control: controlTopic, Audit: auditTopic, Group: group, Author: ledger.Author{Actor: "ops", Run: "c"}}
		writer, err := store.Open(t.Context(), o, ledger.HoldBatch("spring"))
		if err != nil {
			t.Fatal(err)
		}
		cancelled := ledger.Entry{Hold: &ledger.Hold{Cancelled: map[string]map[int]int64{laneTopic: {0: 1000}}}}
		if _, err := writer.Write(t.Context(), store.Change{Entries: []store.KeyedEntry{{Key: ledger.HoldBatch("spring"), Entry: cancelled}}}); err != nil {
			t.Fatal(err)
		}
		if err := w.remembering(t.Context(), "corrected", sent, false); err != nil {
			t.Error(err)
		}
	})
}

// What a run that was cut off had read is remembered by the one that ends the batch.
func TestBatchThatWasCutOffIsRememberedWhole(t *testing.T) {
	inSubmitWorld(t, 1, func(t *testing.T, w *submitWorld) {
		sent := linesOf(t, 1000, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.remembering(ctx, "spring", sent, false, rate(100)); err == nil || w.theBatch().Done == 0 {
			t.Fatalf("the first run was not cut off between: %v", err)
		}
		if err := w.remembering(t.Context(), "spring", sent, false); err != nil {
			t.Fatal(err)
		}
		wantSentBefore(t, w.remembering(t.Context(), "autumn", sent, false), "spring", 1000, 1000)
	})
}
