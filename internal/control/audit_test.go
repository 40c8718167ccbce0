package control

import (
	"strings"
	"testing"
	"time"

	"verdict/consumer/offsets"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// offsetsOf returns the metadata of a commit beyond which these offsets are settled.
func offsetsOf(t *testing.T, committed int64, settled ...int64) string {
	t.Helper()
	tracker := offsets.NewTracker(committed)
	for offset := committed; offset <= settled[len(settled)-1]; offset++ {
		tracker.Track(offset)
	}
	for _, offset := range settled {
		tracker.Settle(offset)
	}
	return offsets.Encode(tracker, nil, 4096)
}

func TestActsAreFiltered(t *testing.T) {
	inWorld(t, func(w *world) {
		ann, ben := w.by("ann", "hold"), w.by("ben", "resume")
		must2(Hold(w.Context(), ann, backfill, false))
		time.Sleep(time.Minute)
		middle := time.Now()
		must2(Resume(w.Context(), ben, backfill))
		time.Sleep(time.Minute)
		must2(Rate(w.Context(), w.by("ann", "rate"), 5, 0))
		other := w.by("eve", "hold")
		other.Group = "another"
		must2(Hold(w.Context(), other, ledger.HoldLane(decision.Live), false))
		w.Put(decision.Record{Topic: "audit", Value: []byte("rubbish")})

		for name, tc := range map[string]struct {
			filter AuditFilter
			want   string // the runs
		}{
			"all":     {AuditFilter{}, "ann ben ann"},
			"since":   {AuditFilter{Since: middle}, "ben ann"},
			"until":   {AuditFilter{Until: middle}, "ann"},
			"actor":   {AuditFilter{Actor: "ben@backoffice"}, "ben"},
			"command": {AuditFilter{Command: "rate"}, "ann"},
			"key":     {AuditFilter{Key: "Lane/Back"}, "ann ben"},
			"target":  {AuditFilter{Key: "lane backfill"}, "ann ben"},
			"why":     {AuditFilter{Match: "OF BEN"}, "ben"},
			"details": {AuditFilter{Match: "5 calls a second"}, "ann"},
			"two":     {AuditFilter{Actor: "ann@backoffice", Match: "5 calls"}, "ann"},
			"none":    {AuditFilter{Actor: "ann"}, ""},
		} {
			var runs []string
			skipped, err := Acts(w.Context(), w.options(), tc.filter, func(_ ledger.Key, a ledger.Act) error {
				runs = append(runs, a.Run)
				return nil
			})
			if got := strings.Join(runs, " "); err != nil || got != tc.want || skipped != 1 {
				t.Errorf("%s: %q, want %q; %d skipped, %v", name, got, tc.want, skipped, err)
			}
		}
	})
}

func TestAuditWithoutATopic(t *testing.T) {
	inWorld(t, func(w *world) {
		_, err := Acts(w.Context(), w.options(), AuditFilter{}, func(ledger.Key, ledger.Act) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "nothing was ever recorded") {
			t.Error(err)
		}
	})
}

func TestDetailsAreOrderedAndEscaped(t *testing.T) {
	got := Details(map[string]string{"target": "x", "zeal": "a\nb", "after": "held", "before": "not held", "all": "\x1b[2J"})
	if want := "before: not held; after: held; all:  [2J; zeal: a b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
