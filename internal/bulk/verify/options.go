package verify

import (
	"log/slog"
	"time"

	"verdict/internal/bulk/follow"
	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Options say what to verify, and how.
type Options struct {
	// Follow says which batch, and where it is. Verify sets Once and Result. Required.
	Follow follow.Options
	// API is asked for the tasks. Required.
	API *passfort.Client
	// Rate is the number of calls per second. Required, more than 0.
	Rate float64
	// Checkpoint is the file that says how far an interrupted run got. It is removed at the
	// end. Required.
	Checkpoint string
	// Scope names what else a checkpoint depends on, such as the API's address. A checkpoint
	// of another scope or batch is refused.
	Scope string
	// Report is a CSV file that gets a row for each difference. Empty: none.
	Report string
	// Difference is called for each difference, in the order of the tasks. An error ends
	// Verify. Nil: not wanted.
	Difference func(Difference) error
	// Progress is called after each task. It must be quick. Nil: not wanted.
	Progress func(Progress)
	// Log receives what is retried for long. Required.
	Log *slog.Logger
	// TempDir is the folder of the temporary file. Empty: the system's.
	TempDir string
}

// Progress says how far Verify is.
type Progress struct {
	Tasks int64 // to verify
	Done  int64 // among them, those of an earlier run too
}

// Difference is a task that is not in the state in which its decision left it.
type Difference struct {
	Task       decision.Task
	Expected   decision.State
	Found      string // the state, or Gone, or Unreadable
	Detail     string // why it is unreadable
	DecisionID string // that expects it
	Line       int64  // of the batch; zero: not known
	Origin     decision.Position
	At         time.Time // of the answer
}

// What a Difference finds in place of a state.
const (
	Gone       = "gone"       // there is no such task
	Unreadable = "unreadable" // the API refuses to show it, or always fails for it
)

// Summary counts tasks, and the decisions that were not compared.
type Summary struct {
	Tasks      int64 `json:"tasks"` // verified: the sum of the next four
	Same       int64 `json:"same"`
	Differ     int64 `json:"differ"`
	Gone       int64 `json:"gone"`
	Unreadable int64 `json:"unreadable"`
	// Decisions that were not carried out, or not yet.
	Unsettled    int64 `json:"unsettled"`
	Skipped      int64 `json:"skipped"` // and duplicates
	DeadLettered int64 `json:"dead_lettered"`
	Calls        int64 `json:"calls"`
}

// Drift returns the number of tasks that are not known to be as expected.
func (s *Summary) Drift() int64 { return s.Differ + s.Gone + s.Unreadable }
