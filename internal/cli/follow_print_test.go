package cli

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	bulkfollow "verdict/internal/bulk/follow"
	"verdict/internal/decision"
)

// The outcomes include the one that stands for those of a newer version.
func TestFollowReconciliationAddsUpOverAllOutcomes(t *testing.T) {
	sum := bulkfollow.Summary{Outcomes: make(map[decision.Outcome]int64), Missing: 1}
	sum.Submitted = sum.Missing
	for i, outcome := range append(slices.Clone(decision.Outcomes[:]), "other") {
		n := int64(2) << i
		if outcome == decision.DeadLettered {
			sum.DeadLettered = n
		} else {
			sum.Outcomes[outcome] = n
		}
		sum.Submitted += n
	}
	var out bytes.Buffer
	if err := writeFollowed(&out, sum, false); err == nil {
		t.Error("a batch with dead letters and missing decisions is no error")
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	total := int64(0)
	for _, field := range fields[1:] {
		_, text, _ := strings.Cut(field, "=")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if fields[0] != "submitted="+strconv.FormatInt(total, 10) || total != sum.Submitted {
		t.Errorf("the terms add up to %d, want %d: %v", total, sum.Submitted, fields)
	}
}

func TestFollowProgressNamesEveryOutcome(t *testing.T) {
	sum := bulkfollow.Summary{Size: 100, Submitted: 90, Settled: 50, Outcomes: make(map[decision.Outcome]int64)}
	for _, outcome := range decision.Outcomes {
		sum.Outcomes[outcome] = 3
	}
	sum.DeadLettered, sum.Reasons = 3, map[decision.Reason]int64{decision.Expired: 2, decision.Rejected: 1}
	got := followProgress(sum)
	want := "50 of 100 settled, 3 completed, 3 already_complete, 3 skipped, 3 duplicate, 3 dead-lettered (expired 2, rejected 1)"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
