package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Result is the outcome of a decision that was settled without a dead letter. As
// JSON it is the value of a record in the results topic.
type Result struct {
	DecisionID  string          `json:"decision_id"`
	DecisionKey string          `json:"decision_key,omitempty"` // of its Identity; empty: written by the first edition
	ProfileID   string          `json:"profile_id"`
	TaskID      string          `json:"task_id"`
	State       State           `json:"state"`
	Outcome     Outcome         `json:"outcome"`
	Attempts    int             `json:"attempts"`              // calls made to complete the task; 0: none was needed
	HTTPStatus  int             `json:"http_status,omitempty"` // of the answer that settled it; 0: no call
	Task        json.RawMessage `json:"task,omitempty"`        // the API's answer, unchanged
	Profile     *Profile        `json:"profile,omitempty"`     // nil: not asked for, or not known
	DecidedAt   string          `json:"decided_at,omitempty"`
	ReceivedAt  Time            `json:"received_at"`  // when Verdict read the record
	CompletedAt Time            `json:"completed_at"` // when the outcome was known
	Source      string          `json:"source,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	BatchID     string          `json:"batch_id,omitempty"`
	EditedBy    string          `json:"edited_by,omitempty"` // who changed it in a redrive; empty: nobody did
	Origin      Position        `json:"origin"`
}

// Profile sums up the tasks of a decision's profile soon after the decision was
// carried out. Expired and skipped tasks do not count.
type Profile struct {
	Outcome     ProfileOutcome `json:"outcome"`
	OpenTasks   int            `json:"open_tasks"`   // in no completed state
	FailedTasks int            `json:"failed_tasks"` // COMPLETED_FAIL
}

// ProfileOutcome sums up a profile's tasks in one word.
type ProfileOutcome string

// The outcomes of a profile.
const (
	AllPassed  ProfileOutcome = "all_passed"  // there are tasks, and all passed: the application can be approved
	SomeFailed ProfileOutcome = "some_failed" // at least one failed, others may be open: the application may be rejected
	Open       ProfileOutcome = "open"        // none failed, and some are open or none passed
)

// Encode returns the result to be published: the decision's key, so that the
// results of a profile stay in one partition, and the JSON. Task must be valid
// JSON or empty. The JSON is written by hand because encoding/json would compact
// the API's answer, which must stay unchanged, and because this runs for every
// decision.
func (r *Result) Encode(topic string, key []byte) Record {
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
	optional("decision_key", r.DecisionKey)
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
	optional("edited_by", r.EditedBy)
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

// appendString appends a JSON string. Most need no escapes; encoding/json handles
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

// MaxResultSize bounds what ParseResult reads, in bytes. Kafka accepts less by
// default, so the bound guards memory and refuses no real result.
const MaxResultSize = 4 << 20

// ParseResult reads a result back. It ignores unknown fields and accepts an unknown
// outcome, since a newer version may have written them, but a result must name its
// decision, its task and an outcome.
func ParseResult(value []byte) (Result, error) {
	if len(value) > MaxResultSize {
		return Result{}, fmt.Errorf("parse result: it has %d bytes; the limit is %d", len(value), MaxResultSize)
	}
	var r Result
	if err := json.Unmarshal(value, &r); err != nil {
		return Result{}, fmt.Errorf("parse result: %w", err)
	}
	switch {
	case r.DecisionID == "":
		return Result{}, errors.New("parse result: decision_id is missing")
	case !ValidID(r.ProfileID) || !ValidID(r.TaskID):
		return Result{}, fmt.Errorf("parse result of %s: profile_id or task_id is missing or invalid", quote(r.DecisionID))
	case !isWord(string(r.Outcome)):
		return Result{}, fmt.Errorf("parse result of %s: outcome must be a word in lower case, is %s", quote(r.DecisionID), quote(string(r.Outcome)))
	}
	return r, nil
}
