package submit

import (
	"fmt"
	"time"

	"verdict/internal/decision"
)

// AlreadySentError says that a batch was submitted whole before.
type AlreadySentError struct {
	BatchID string
	At      time.Time
	By      string // what says so
	Size    int64  // decisions that were sent
}

// Error says what to do.
func (e *AlreadySentError) Error() string {
	return fmt.Sprintf("batch %s was submitted whole at %s, says %s; to submit it once more, give it another --batch-id",
		e.BatchID, decision.Time{Time: e.At}, e.By)
}
