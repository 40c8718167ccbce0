package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
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
	DecidedAt   string          `json:"decided_at,omitempty"`
	ReceivedAt  Time            `json:"received_at"`  // when Verdict read the record
	CompletedAt Time            `json:"completed_at"` // when the outcome was known
	Source      string          `json:"source,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	BatchID     string          `json:"batch_id,omitempty"`
	Origin      Origin          `json:"origin"`
}

// Record is the result as it is published: the decision's key, so that the
// results of a profile stay in one partition, and the JSON.
func (r *Result) Record(topic string, key []byte) (Record, error) {
	var b bytes.Buffer
	b.Grow(1024)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the API's answer is to stay as it came
	if err := enc.Encode(r); err != nil {
		return Record{}, fmt.Errorf("encode the result of %s: %w", r.DecisionID, err)
	}
	return Record{Topic: topic, Key: key, Value: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
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
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeFormat)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeFormat)
	return append(b, '"'), nil
}
