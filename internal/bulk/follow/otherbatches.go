package follow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// ErrNoBatch reports that nothing of the batch was found.
var ErrNoBatch = errors.New("found no decision, result or dead letter of this batch")

// otherBatches holds the IDs of the batches that were seen last, for a message.
type otherBatches struct{ ids []string }

// maxOthers bounds otherBatches.
const maxOthers = 5

// add records a batch's ID, unless it is empty.
func (o *otherBatches) add(id string) {
	if id = decision.OneLine(id, decision.MaxBatchIDLength); id == "" || slices.Contains(o.ids, id) {
		return
	}
	if len(o.ids) == maxOthers {
		o.ids = o.ids[1:]
	}
	o.ids = append(o.ids, id)
}

// noBatch returns the error for a batch of which nothing was found.
func (f *follower) noBatch() error {
	others := "there are no other batches either"
	if len(f.others.ids) > 0 {
		others = "the last other batches are " + strings.Join(f.others.ids, ", ")
	}
	since := ""
	if !f.options.Since.IsZero() {
		since = fmt.Sprintf(" since %s (to go further back, use --since)", decision.Time{Time: f.options.Since})
	}
	topics := append(slices.Clone(f.options.Decisions), f.options.Results, f.options.DeadLetters)
	return fmt.Errorf("batch %q: %w in %s%s; %s", f.options.BatchID, ErrNoBatch, strings.Join(topics, ", "), since, others)
}
