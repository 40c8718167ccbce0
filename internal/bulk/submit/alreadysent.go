package submit

import (
	"fmt"
	"time"

	"verdict/internal/decision"
)

// AlreadySentError reports that the whole batch was submitted before.
type AlreadySentError struct {
	BatchID string
	At      time.Time // when the last decision was acknowledged
	Source  string    // what says so: the journal or Kafka
	Size    int64     // decisions that were sent
}

// Error says what was sent and what to do.
func (e *AlreadySentError) Error() string {
	return fmt.Sprintf("batch %s was submitted completely at %s, according to %s; to submit it again, give it another --batch-id",
		e.BatchID, decision.Time{Time: e.At}, e.Source)
}
