package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"verdict/internal/decision"
)

// Decision is a decision made by a policy.
type Decision struct {
	// ID is made from the task, the state and the checks that led to the decision,
	// and from nothing else: reading the same results again, with the same policy
	// or another, gives the same ID.
	ID     string
	Task   Task
	State  decision.State
	Checks []string  // that led to it, oldest first
	At     time.Time // of the last check; zero: not known
}

// decisionID hashes what led to a decision. Line ends separate the parts, which
// hold none.
func decisionID(task *Task, want decision.State, checks []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{task.key(), string(want)}, checks...), "\n")))
	return "policy-" + hex.EncodeToString(sum[:16])
}

// Encode returns the decision as a record for `verdict run`. Its key is the profile
// ID, so that the decisions of a profile keep their order.
func (d *Decision) Encode(topic string) (decision.Record, error) {
	type task struct {
		Alias string `json:"alias,omitempty"`
		Type  string `json:"type,omitempty"`
	}
	value := struct {
		ID        string         `json:"id"`
		ProfileID string         `json:"profile_id"`
		TaskID    string         `json:"task_id,omitempty"`
		Task      *task          `json:"task,omitempty"`
		State     decision.State `json:"state"`
		DecidedAt string         `json:"decided_at,omitempty"`
		Source    string         `json:"source"`
		Reason    string         `json:"reason"`
	}{
		ID: d.ID, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State,
		Source: "verdict-decide", Reason: d.Reason(),
	}
	switch {
	case d.Task.TaskID != "":
	case d.Task.Alias != "":
		value.Task = &task{Alias: d.Task.Alias}
	default:
		value.Task = &task{Type: d.Task.Type}
	}
	if !d.At.IsZero() {
		value.DecidedAt = decision.Time{Time: d.At}.String()
	}
	b, err := json.Marshal(value)
	if err != nil {
		return decision.Record{}, fmt.Errorf("encode decision %s: %w", d.ID, err)
	}
	return decision.Record{Topic: topic, Key: []byte(d.Task.ProfileID), Value: b}, nil
}

// Reason says for people what led to the decision.
func (d *Decision) Reason() string {
	what := "passed by check "
	if d.State == decision.CompletedFail {
		what = "failed by check "
		if n := len(d.Checks); n > 1 {
			what = fmt.Sprintf("failed by %d checks: ", n)
		}
	}
	return decision.OneLine(what+strings.Join(d.Checks, ", "), decision.MaxTextSize)
}
