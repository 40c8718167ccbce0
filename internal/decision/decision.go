// Package decision is the vocabulary of Verdict: what a decision is, how it is
// read from a Kafka record, and the result or dead letter that it ends as. The
// closed sets (lanes, outcomes, reasons, causes, settings) are declared here and
// nowhere else; their text is the metric label and the wire value.
//
// It is a leaf: it knows no Kafka client, no API and no configuration file.
// Package codec turns the other formats into the JSON that DecodeValue reads, so
// that one set of rules judges every decision and every fault has one wording.
// Carrying decisions out is left to package processor.
package decision

import (
	"strings"
	"time"
)

// Decision is one request to complete a task, as read from a Record.
type Decision struct {
	ID        string    // the decision's own, or Position.String() of its record
	OwnID     bool      // the ID came with the decision
	IDSource  string    // of the CloudEvent whose ID it is; empty: the ID is not an event's
	Task      Task      // without TaskID where Key names the task
	Key       Key       // zero where the decision has the task's ID
	State     State     // CompletedPass or CompletedFail
	DecidedAt string    // RFC 3339, as given; empty: not given
	ExpiresAt time.Time // zero: never
	Source    string
	Reason    string
	BatchID   string
}

// Expired reports whether it is too late, at now, to carry the decision out.
func (d *Decision) Expired(now time.Time) bool {
	return !d.ExpiresAt.IsZero() && now.After(d.ExpiresAt)
}

// Task identifies the task that a decision is about. IDs are held in lower case,
// so Tasks of the same task compare equal.
type Task struct {
	ProfileID string
	TaskID    string
}

// NewTask returns the Task with these IDs, which may be in any case.
func NewTask(profileID, taskID string) Task {
	return Task{ProfileID: strings.ToLower(profileID), TaskID: strings.ToLower(taskID)}
}

// State is the state of a task, in the API's own words. The API may know more
// states than these; an unknown one is passed on unchanged.
type State string

// The published states. A decision asks for one of the completed ones.
const (
	Incomplete    State = "INCOMPLETE"
	CompletedPass State = "COMPLETED_PASS"
	CompletedFail State = "COMPLETED_FAIL"
)

// Lane is the way a decision came in: each lane is a topic.
type Lane uint8

// The lanes. Live goes first wherever both have decisions waiting.
const (
	Live     Lane = iota // kafka.topics.decisions
	Backfill             // kafka.topics.backfill
)

// Lanes holds every lane, in their order of priority.
var Lanes = [...]Lane{Live, Backfill}

// String returns the value of the metric label lane.
func (l Lane) String() string {
	return [len(Lanes)]string{"live", "backfill"}[l]
}
