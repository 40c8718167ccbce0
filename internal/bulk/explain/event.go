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
)

// Event is one thing that happened to a decision, according to one record.
type Event struct {
	Time       decision.Time     `json:"time"`
	Kind       EventKind         `json:"event"`
	Place      decision.Position `json:"place"`  // of that record
	Origin     decision.Position `json:"origin"` // of the decision's record
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
	Why        string            `json:"why,omitempty"` // the reason in the decision
	BatchID    string            `json:"batch_id,omitempty"`
	BatchLine  int64             `json:"batch_line,omitempty"`
	Note       string            `json:"note,omitempty"`
}
