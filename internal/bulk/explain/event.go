package explain

import "verdict/internal/decision"

// EventKind is what happened to a decision. Its text is the value of "event" in JSON.
type EventKind string

// The kinds of events.
const (
	EventSubmitted    EventKind = "submitted"
	EventRedriven     EventKind = "redriven" // a dead letter was sent back
	EventSettled      EventKind = "settled"  // with a result
	EventDeadLettered EventKind = "dead_lettered"
	EventPending      EventKind = "pending" // no result and no dead letter was found
	EventWaiting      EventKind = "waiting" // for somebody to approve its batch
	EventCommand      EventKind = "command" // somebody did something to it, to its batch or to what it waits in
	// What is so now for a pending decision. Their time is now.
	EventHeld      EventKind = "held"      // it is not begun while Key says so
	EventCancelled EventKind = "cancelled" // if it is not begun yet, it ends as a dead letter
	EventRate      EventKind = "rate"      // the group has another rate than the configured one
)

// Event is one thing that happened to a decision, according to one record.
type Event struct {
	Time       decision.Time     `json:"time"`
	Kind       EventKind         `json:"event"`
	Place      decision.Position `json:"place"`           // of that record
	Origin     decision.Position `json:"origin,omitzero"` // of the decision's record; zero: it is not about one alone
	DecisionID string            `json:"decision_id,omitempty"`
	ProfileID  string            `json:"profile_id,omitempty"`
	TaskID     string            `json:"task_id,omitempty"`
	State      decision.State    `json:"state,omitempty"`
	Outcome    decision.Outcome  `json:"outcome,omitempty"`
	Reason     decision.Reason   `json:"reason,omitempty"` // of a dead letter
	Error      string            `json:"error,omitempty"`
	Attempts   int               `json:"attempts,omitempty"`
	HTTPStatus int               `json:"http_status,omitempty"`
	Redrives   int               `json:"redrives,omitempty"`
	Source     string            `json:"source,omitempty"`
	Why        string            `json:"why,omitempty"` // the reason in the decision, or of who did it
	BatchID    string            `json:"batch_id,omitempty"`
	BatchLine  int64             `json:"batch_line,omitempty"`
	Run        string            `json:"run,omitempty"`       // of Verdict, that wrote the record
	Dismissed  bool              `json:"dismissed,omitempty"` // of a dead letter: it is marked as dealt with
	// Of a pending decision, by the latest commit.
	MaybeApplied bool   `json:"maybe_applied,omitempty"` // an attempt may have completed the task
	RetryWithin  string `json:"retry_within,omitempty"`  // the longest back-off; empty: it has not failed, or it is not known
	// Of a command, and of what it left.
	Key     string        `json:"key,omitempty"` // of the ledger, without the group
	Command string        `json:"command,omitempty"`
	Actor   string        `json:"actor,omitempty"`
	Host    string        `json:"host,omitempty"`
	Since   decision.Time `json:"since,omitzero"` // when it was left so
	Note    string        `json:"note,omitempty"`
}
