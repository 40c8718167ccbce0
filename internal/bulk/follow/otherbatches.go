package follow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// ErrNoBatch is the error for a batch of which nothing was found.
var ErrNoBatch = errors.New("no decision, result or dead letter of this batch was found")

// maxOthers is how many other batches are remembered for a message.
const maxOthers = 5

func (f *follower) other(id string) {
	if id = decision.OneLine(id, decision.MaxBatchIDLength); id == "" {
		return
	}
	if _, known := f.others[id]; known {
		return
	}
	if len(f.recent) == maxOthers {
		delete(f.others, f.recent[0])
		f.recent = f.recent[1:]
	}
	f.others[id] = struct{}{}
	f.recent = append(f.recent, id)
}

func (f *follower) noBatch() error {
	seen := "no other batch is there either"
	if len(f.recent) > 0 {
		seen = fmt.Sprintf("others are there, the last of them: %s", strings.Join(f.recent, ", "))
	}
	since := ""
	if !f.o.Since.IsZero() {
		since = fmt.Sprintf(" since %s (look further back with --since)", decision.Time{Time: f.o.Since})
	}
	return fmt.Errorf("batch %q: %w in %s%s; %s", f.o.BatchID, ErrNoBatch, strings.Join(append(slices.Clone(f.o.Decisions), f.o.Results, f.o.DeadLetters), ", "), since, seen)
}
