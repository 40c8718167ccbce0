package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Result is what became of a decision that was settled without a dead letter.
// Its encoding is the value of a record in the results topic.
type Result struct {
	DecisionID  string          `json:"decision_id"`
	ProfileID   string          `json:"profile_id"`
	TaskID      string          `json:"task_id"`
	State       State           `json:"state"`
	Outcome     Outcome         `json:"outcome"`
	Attempts    int             `json:"attempts"`              // calls made to complete the task; 0: none was needed
	HTTPStatus  int             `json:"http_status,omitempty"` // of the answer that settled it; 0: no call
	Task        json.RawMessage `json:"task,omitempty"`        // the API's answer as it came
	Profile     *Profile        `json:"profile,omitempty"`     // nil: not asked for, or not known
	DecidedAt   string          `json:"decided_at,omitempty"`
	ReceivedAt  Time            `json:"received_at"`  // when Verdict read the record
	CompletedAt Time            `json:"completed_at"` // when the outcome was known
	Source      string          `json:"source,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	BatchID     string          `json:"batch_id,omitempty"`
	Origin      Origin          `json:"origin"`
}

// Profile is what the tasks of a decision's profile came to, soon after the
// decision was carried out. Tasks that are expired or skipped count for nothing.
type Profile struct {
	Outcome     ProfileOutcome `json:"outcome"`
	OpenTasks   int            `json:"open_tasks"`   // in no completed state
	FailedTasks int            `json:"failed_tasks"` // COMPLETED_FAIL
}

// ProfileOutcome is what a profile's tasks came to, in one word.
type ProfileOutcome string

// The outcomes of a profile.
const (
	AllPassed  ProfileOutcome = "all_passed"  // at least one, and all of them: its application can be approved
	SomeFailed ProfileOutcome = "some_failed" // at least one, others may be open: its application may be rejected
	Open       ProfileOutcome = "open"        // none failed, and some are open or none passed
)

// Record is the result as it is published: the decision's key, so that the
// results of a profile stay in one partition, and the JSON. Task must be valid
// JSON or empty. It is written by hand because encoding/json would check and
// compact the API's answer, which is to stay as it came, and because this is on
// every decision's way.
func (r *Result) Record(topic string, key []byte) Record {
	b := make([]byte, 0, 768+len(r.Task)+len(r.Reason))
	text := func(name, value string) {
		b = appendName(b, name)
		b = appendString(b, value)
	}
	optional := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	number := func(name string, n int64) {
		b = strconv.AppendInt(appendName(b, name), n, 10)
	}
	b = append(b, '{')
	text("decision_id", r.DecisionID)
	text("profile_id", r.ProfileID)
	text("task_id", r.TaskID)
	text("state", string(r.State))
	text("outcome", string(r.Outcome))
	number("attempts", int64(r.Attempts))
	if r.HTTPStatus != 0 {
		number("http_status", int64(r.HTTPStatus))
	}
	if len(r.Task) > 0 {
		b = append(appendName(b, "task"), r.Task...)
	}
	if r.Profile != nil {
		b = append(appendName(b, "profile"), '{')
		text("outcome", string(r.Profile.Outcome))
		number("open_tasks", int64(r.Profile.OpenTasks))
		number("failed_tasks", int64(r.Profile.FailedTasks))
		b = append(b, '}')
	}
	optional("decided_at", r.DecidedAt)
	b = r.ReceivedAt.append(appendName(b, "received_at"))
	b = r.CompletedAt.append(appendName(b, "completed_at"))
	optional("source", r.Source)
	optional("reason", r.Reason)
	optional("batch_id", r.BatchID)
	b = append(appendName(b, "origin"), '{')
	text("topic", r.Origin.Topic)
	number("partition", int64(r.Origin.Partition))
	number("offset", r.Origin.Offset)
	return Record{Topic: topic, Key: key, Value: append(b, "}}"...)}
}

// appendName begins a member of an object; the name needs no escapes.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// appendString writes a JSON string. Most need no escapes; encoding/json sees to
// the others.
func appendString(b []byte, s string) []byte {
	escapes := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= utf8.RuneSelf }
	if strings.ContainsFunc(s, escapes) {
		var escaped bytes.Buffer
		enc := json.NewEncoder(&escaped)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			panic(err) // a string always encodes
		}
		return append(b, bytes.TrimSuffix(escaped.Bytes(), []byte("\n"))...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// MaxResultSize bounds what ParseResult reads, in bytes: more than what Kafka
// takes by default, so that the bound guards memory and refuses no real result.
const MaxResultSize = 4 << 20

// ParseResult reads a result back. Fields that it does not know are left alone,
// and so is an outcome that it does not know, since a newer version may have
// written it; but what does not name its decision, task and outcome is no result.
func ParseResult(value []byte) (Result, error) {
	if len(value) > MaxResultSize {
		return Result{}, fmt.Errorf("a result of %d bytes: the limit is %d", len(value), MaxResultSize)
	}
	var r Result
	if err := json.Unmarshal(value, &r); err != nil {
		return Result{}, fmt.Errorf("parse a result: %w", err)
	}
	switch {
	case r.DecisionID == "":
		return Result{}, errors.New("parse a result: no decision_id")
	case !ValidID(r.ProfileID) || !ValidID(r.TaskID):
		return Result{}, fmt.Errorf("parse the result of %s: no profile_id and task_id", quote(r.DecisionID))
	case !word(string(r.Outcome)):
		return Result{}, fmt.Errorf("parse the result of %s: no outcome but %s", quote(r.DecisionID), quote(string(r.Outcome)))
	}
	return r, nil
}

// word says whether s has the shape of an outcome or a reason, known or not.
func word(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// Time is a time as Verdict writes it: RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeFormat = "2006-01-02T15:04:05.000Z"

// String is the time as it stands in results and headers.
func (t Time) String() string { return t.UTC().Format(timeFormat) }

// MarshalJSON writes the time as a JSON string.
func (t Time) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

func (t Time) append(b []byte) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"')
}
