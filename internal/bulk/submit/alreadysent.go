package submit

import (
	"fmt"
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// AlreadySentError reports that the whole batch was submitted before.
type AlreadySentError struct {
	BatchID string
	At      time.Time     // when the last decision was sent
	By      ledger.Author // who sent it
	Size    int64         // decisions that were sent
}

// Error says what was sent and what to do.
func (e *AlreadySentError) Error() string {
	return fmt.Sprintf("batch %s was submitted completely at %s by %s on %s; to submit it again, give it another --batch-id and --again",
		e.BatchID, decision.Time{Time: e.At}, decision.OneLine(e.By.Actor, 100), decision.OneLine(e.By.Host, 100))
}
