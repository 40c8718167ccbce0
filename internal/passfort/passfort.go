// Package passfort calls the PassFort API: it completes tasks, looks at them,
// lists those of a profile and asks who the API key is. Each call is made once,
// bounded in time and in what is read, and ends as a value or as an *Error whose
// Kind says what happened and whose MaybeApplied says whether the server may have
// acted all the same.
//
// It leaves to its caller: whether and when to call again, how many calls to
// make a second, measuring, and logging. It imports nothing else of this module.
package passfort

import (
	"encoding/json"
	"time"

	"verdict/internal/decision"
)

// Task is a task as the API told it. Fields that this package does not know are
// in Raw alone.
type Task struct {
	ID         string         `json:"id"`
	State      decision.State `json:"state"`
	Type       string         `json:"type"`
	IsComplete bool           `json:"is_complete"`
	IsExpired  bool           `json:"is_expired"`
	IsSkipped  bool           `json:"is_skipped"`
	Variant    Variant        `json:"variant"`

	// Raw is the task as it came: one valid JSON object of at most 1 MiB.
	Raw json.RawMessage `json:"-"`
}

// Variant is the kind of task that the account configured. Its ID is never the
// task's; Name and Alias may be missing.
type Variant struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Alias    string `json:"alias"`
	TaskType string `json:"task_type"`
}

// Identity is whom an API key belongs to.
type Identity struct {
	AuditeeName string      `json:"auditee_name"`
	Institution Institution `json:"institution"`

	// Raw is the whole answer as it came, one valid JSON object.
	Raw json.RawMessage `json:"-"`
}

// Institution is the account that a key selects.
type Institution struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Response is what is known of every call, of a failed one as well.
type Response struct {
	Status int       // HTTP status; 0: no answer came
	Rate   RateLimit // what the answer said about limits
	Date   time.Time // of WhoAmI's answer: the server's clock, to the second; zero: not said
}

// Operation is a call that this package makes. Its text is fit for a metric
// label.
type Operation string

// The operations. Only OpComplete changes anything at the API.
const (
	OpComplete  Operation = "complete"
	OpGetTask   Operation = "get_task"
	OpListTasks Operation = "list_tasks"
	OpWhoAmI    Operation = "whoami"
)

// Operations is every operation.
var Operations = [...]Operation{OpComplete, OpGetTask, OpListTasks, OpWhoAmI}
