// Package decision is the vocabulary of Verdict: what a decision is, how it is
// read from a Kafka record, and the result or dead letter that it ends as. It
// is a leaf: it knows neither Kafka clients, nor the API, nor configuration.
// Carrying a decision out is left to package processor.
package decision

import (
	"fmt"
	"strings"
	"time"
)

// Record is a Kafka record as it came or as it is to be published, free of any
// client's types. Key, Value and header values are never changed once a Record
// was handed on, so that a dead letter can repeat them byte for byte.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Key       []byte // nil: no key
	Value     []byte // nil: no value (a tombstone)
	Headers   []Header
	Time      time.Time // the record's timestamp
}

// Header is one header of a Record. Keys may repeat; their order is kept.
type Header struct {
	Key   string
	Value []byte
}

// Size is the memory that the record's payload holds, in bytes.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Origin is where a decision was read.
type Origin struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

// String is topic/partition/offset, the ID of a decision that has none.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%d/%d", o.Topic, o.Partition, o.Offset)
}

// Origin is where the record was read.
func (r *Record) Origin() Origin {
	return Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// State is the state of a task, in the API's own words. The API may know more
// states than these; an unknown one is passed on unchanged.
type State string

// The published states. A decision may ask for either of the completed ones.
const (
	Incomplete    State = "INCOMPLETE"
	CompletedPass State = "COMPLETED_PASS"
	CompletedFail State = "COMPLETED_FAIL"
)

// Lane is the way by which a decision came in: its topic.
type Lane uint8

// The lanes. Live goes before Backfill wherever both wait.
const (
	Live Lane = iota
	Backfill
	laneCount
)

// Lanes is every lane, in the order in which they are served.
var Lanes = [...]Lane{Live, Backfill}

// String is the value of the metric label lane.
func (l Lane) String() string {
	return [laneCount]string{"live", "backfill"}[l]
}

// Task names the task that a decision is about. Two Tasks that compare equal
// are the same task: IDs are held in lower case.
type Task struct {
	ProfileID string
	TaskID    string
}

// Decision is one request to complete a task, as read from a Record.
type Decision struct {
	ID        string // the decision's own, or Origin.String()
	OwnID     bool   // the ID came with the decision
	Task      Task   // without TaskID where Key names the task
	Key       Key    // the zero Key: the decision has the task's ID
	State     State
	DecidedAt string // RFC 3339 as it came; empty: not given
	ExpiresAt time.Time
	Source    string
	Reason    string
	BatchID   string
}

// Expired says whether the decision must no longer be carried out at now. A
// decision without an expiry never expires.
func (d *Decision) Expired(now time.Time) bool {
	return !d.ExpiresAt.IsZero() && now.After(d.ExpiresAt)
}

// Outcome is how a decision was settled. Its text is the metric label and the
// wire value.
type Outcome string

// The outcomes. A decision that is DeadLettered has a Reason and no result.
const (
	Completed       Outcome = "completed"
	AlreadyComplete Outcome = "already_complete"
	Skipped         Outcome = "skipped"
	Duplicate       Outcome = "duplicate"
	DeadLettered    Outcome = "dead_lettered"
)

// Outcomes is every outcome.
var Outcomes = [...]Outcome{Completed, AlreadyComplete, Skipped, Duplicate, DeadLettered}

// Reason is why a decision was dead-lettered. Its text is the metric label and
// the value of the header verdict-reason.
type Reason string

// The reasons for a dead letter.
const (
	InvalidEvent     Reason = "invalid_event"
	Expired          Reason = "expired"
	TaskNotFound     Reason = "task_not_found"
	TaskAmbiguous    Reason = "task_ambiguous"
	Forbidden        Reason = "forbidden"
	Rejected         Reason = "rejected"
	Conflict         Reason = "conflict"
	Unconfirmed      Reason = "unconfirmed"
	RetriesExhausted Reason = "retries_exhausted"
)

// Reasons is every reason.
var Reasons = [...]Reason{
	InvalidEvent, Expired, TaskNotFound, TaskAmbiguous, Forbidden,
	Rejected, Conflict, Unconfirmed, RetriesExhausted,
}

// PauseCause is why the service does not dispatch for a while. Its text is the
// metric label.
type PauseCause string

// The causes of a pause.
const (
	PausedAuth      PauseCause = "auth"
	PausedOutage    PauseCause = "outage"
	PausedThrottled PauseCause = "throttled"
	PausedKafka     PauseCause = "kafka"
)

// PauseCauses is every cause of a pause.
var PauseCauses = [...]PauseCause{PausedAuth, PausedOutage, PausedThrottled, PausedKafka}

// RetryCause is why a decision is to be tried again. Its text is the metric
// label.
type RetryCause string

// The causes of a retry.
const (
	RetryTimeout     RetryCause = "timeout"      // no answer in time, 408
	RetryConnection  RetryCause = "connection"   // not reached, or cut
	RetryServerError RetryCause = "server_error" // 5xx
	RetryUnconfirmed RetryCause = "unconfirmed"  // 2xx without the wanted state
	RetryThrottled   RetryCause = "throttled"    // 429; not an attempt
	RetryAuth        RetryCause = "auth"         // the key was refused; not an attempt
	RetryPanic       RetryCause = "panic"        // a fault of Verdict's own
)

// RetryCauses is every cause of a retry.
var RetryCauses = [...]RetryCause{
	RetryTimeout, RetryConnection, RetryServerError, RetryUnconfirmed,
	RetryThrottled, RetryAuth, RetryPanic,
}

// ValidID says whether s has the shape of a profile or task ID: 8-4-4-4-12
// hexadecimal digits. Version and variant are not looked at, since the API's
// own samples are not RFC 4122 UUIDs.
func ValidID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// NewTask is the task of these two IDs, whatever their case.
func NewTask(profileID, taskID string) Task {
	return Task{ProfileID: strings.ToLower(profileID), TaskID: strings.ToLower(taskID)}
}
