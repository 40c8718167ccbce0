package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	bulkexplain "verdict/internal/bulk/explain"
	"verdict/internal/decision"
)

func TestExplainSaysThatWhatItDidNotFindMayWaitBehindATransaction(t *testing.T) {
	for _, behind := range [][]bulkexplain.Behind{nil, make([]bulkexplain.Behind, 1)} {
		err := notFound("d-1", timeFlag{}, bulkexplain.Explanation{Behind: behind}).Error()
		if strings.Contains(err, "may be among the records that wait behind an open transaction") != (behind != nil) || !strings.Contains(err, "look further back with --since") {
			t.Errorf("%d partitions behind: %s", len(behind), err)
		}
	}
}

func TestExplainPrintsCommandsAndHolds(t *testing.T) {
	at := decision.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	var out bytes.Buffer
	if err := writeEvents(&out, []bulkexplain.Event{
		{Time: at, Kind: bulkexplain.EventDeadLettered, Place: decision.Position{Topic: "dlq"}, DecisionID: "d-1", Reason: decision.Rejected, Attempts: 2, Dismissed: true},
		{Time: at, Kind: bulkexplain.EventCommand, Place: decision.Position{Topic: "audit"}, Key: "hold/lane/live", Command: "hold", Actor: "ann", Host: "desk", Why: "look\nfirst", Note: "after: held"},
		{Time: at, Kind: bulkexplain.EventHeld, Place: decision.Position{Topic: "control"}, DecisionID: "d-1", Key: "hold/lane/live", Actor: "ann", Host: "desk", Since: at},
		{Time: at, Kind: bulkexplain.EventWaiting, Place: decision.Position{Topic: "held"}, DecisionID: "d-1", Note: "for somebody"},
	}); err != nil {
		t.Fatal(err)
	}
	const want = `2026-01-02T03:04:05.000Z  dead_lettered  dlq/0/0      decision d-1, rejected, 2 attempts, of /0/0, dismissed
2026-01-02T03:04:05.000Z  hold           audit/0/0    hold/lane/live, by ann on desk, reason "look\nfirst", after: held
2026-01-02T03:04:05.000Z  held           control/0/0  decision d-1, hold/lane/live, since 2026-01-02T03:04:05.000Z, by ann on desk
2026-01-02T03:04:05.000Z  waiting        held/0/0     decision d-1, for somebody
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}
