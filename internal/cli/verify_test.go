package cli

import (
	"maps"
	"slices"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/bulk/bulktest"
	bulkfollow "verdict/internal/bulk/follow"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

func TestVerifyFindsABatchInTheLedger(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		batch     *ledger.Batch // nil: it is not there
		decisions []string
		begin     map[string]map[int]int64
	}{
		"of the first edition": {nil, []string{"live", "backfill"}, nil},
		"submitted": {
			&ledger.Batch{Topic: "backfill", Began: began, Runs: []string{"a", "b"}, Begin: map[int]int64{1: 7}},
			[]string{"backfill"}, map[string]map[int]int64{"backfill": {1: 7}},
		},
		"waiting for approval": {
			&ledger.Batch{Topic: "held", Began: began, Runs: []string{"a"}, Begin: map[int]int64{1: 7}, Approval: &ledger.Approval{To: "backfill"}},
			[]string{"held"}, map[string]map[int]int64{"held": {1: 7}},
		},
		"approved": {
			&ledger.Batch{Topic: "held", Began: began, Runs: []string{"a"}, Approval: &ledger.Approval{To: "backfill", By: &ledger.Author{}, Begin: map[int]int64{0: 9}}},
			[]string{"backfill"}, map[string]map[int]int64{"backfill": {0: 9}},
		},
		"a redrive": {&ledger.Batch{Topic: "letters", Redrive: true, Began: began, Runs: []string{"r"}}, []string{"live", "backfill"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bulktest.InKafka(t, func(b *bulktest.Kafka) {
				cfg := configs.Default()
				if tc.batch != nil {
					where := store.Options{
						Connection: b.Conn, Control: cfg.Kafka.Topics.Control, Audit: cfg.Kafka.Topics.Audit, Group: cfg.Kafka.GroupID,
						Author: ledger.Author{Actor: "ann", Run: "a"},
					}
					w, err := store.Open(b.Context(), where, ledger.BatchKey("spring"))
					if err != nil {
						b.Fatal(err)
					}
					if _, err := w.Write(b.Context(), store.Change{Entries: []store.KeyedEntry{{Key: ledger.BatchKey("spring"), Entry: ledger.Entry{Batch: tc.batch}}}}); err != nil {
						b.Fatal(err)
					}
				}
				f := bulkfollow.Options{BatchID: "spring", Decisions: []string{"live", "backfill"}}
				if err := findBatch(b.Context(), cfg, b.Conn, &f); err != nil {
					b.Fatal(err)
				}
				if !slices.Equal(f.Decisions, tc.decisions) || !maps.EqualFunc(f.Begin, tc.begin, maps.Equal) {
					b.Errorf("decisions in %v from %v", f.Decisions, f.Begin)
				}
				if tc.batch != nil && (!slices.Equal(f.Runs, tc.batch.Runs) || !f.Since.Equal(began.Add(-clockSkew))) {
					b.Errorf("runs %v since %v", f.Runs, f.Since)
				}
			})
		})
	}
}

func TestVerifyTakesATwentiethOfTheRate(t *testing.T) {
	for limit, want := range map[float64]float64{50: 2.5, 10: 0.5, 0: 2.5} {
		if got := defaultVerifyRate(limit); got != want {
			t.Errorf("of %v: %v, want %v", limit, got, want)
		}
	}
}

func TestCheckpointHasTheNameOfItsBatch(t *testing.T) {
	for id, want := range map[string]string{"spring": "spring.verify", "a/b:c\x1b": "a_b_c_.verify"} {
		if got := checkpointName(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
