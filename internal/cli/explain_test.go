package cli

import (
	"strings"
	"testing"

	bulkexplain "verdict/internal/bulk/explain"
)

func TestExplainSaysThatWhatItDidNotFindMayWaitBehindATransaction(t *testing.T) {
	for _, behind := range [][]bulkexplain.Behind{nil, make([]bulkexplain.Behind, 1)} {
		err := notFound("d-1", timeFlag{}, bulkexplain.Explanation{Behind: behind}).Error()
		if strings.Contains(err, "may be among the records that wait behind an open transaction") != (behind != nil) || !strings.Contains(err, "look further back with --since") {
			t.Errorf("%d partitions behind: %s", len(behind), err)
		}
	}
}
