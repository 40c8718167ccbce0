// Package passfort is a client of the PassFort API. It completes a task, looks at
// one, lists those of a profile, and asks whose the API key is.
//
// Each call makes one request, bounded in time and in the size of its answer, and
// returns a value or an *Error. The error's Kind says what happened, and its
// MaybeApplied says whether the server may have acted nevertheless: classify holds
// the one table. A completion succeeds only if the answer names the task in the
// wanted state; a 2xx alone is not enough.
//
// The package leaves to its caller whether and when to call again, how many calls
// to make per second, metrics and logging. It takes the states and IDs of tasks
// from package decision, and knows nothing about decisions or Kafka.
package passfort

import (
	"encoding/json"
	"time"

	"verdict/internal/decision"
)

// Task is a task as the API describes it. Raw has the fields that this package
// does not know.
type Task struct {
	ID         string         `json:"id"`
	State      decision.State `json:"state"`
	Type       string         `json:"type"`
	IsComplete bool           `json:"is_complete"`
	IsExpired  bool           `json:"is_expired"`
	IsSkipped  bool           `json:"is_skipped"`
	Variant    Variant        `json:"variant"`

	// Raw is the task exactly as received: one valid JSON object of at most 1 MiB.
	Raw json.RawMessage `json:"-"`
}

// Variant is the kind of task that the account configured. Its ID is never a
// task's ID; Name and Alias may be empty.
type Variant struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Alias    string `json:"alias"`
	TaskType string `json:"task_type"`
}

// Identity says who an API key belongs to.
type Identity struct {
	AuditeeName string      `json:"auditee_name"`
	Institution Institution `json:"institution"`

	// Raw is the answer exactly as received: one valid JSON object.
	Raw json.RawMessage `json:"-"`
}

// Institution is the account of an API key.
type Institution struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Response describes the HTTP answer of a call, also of a failed one.
type Response struct {
	Status int       // HTTP status; 0 if no answer came
	Rate   RateLimit // what the answer said about limits
	Date   time.Time // the server's clock, to the second; WhoAmI only; zero if the answer does not say
}
