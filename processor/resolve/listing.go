// Package resolve finds the task that a decision names by alias or type in the
// list of its profile's tasks, and remembers lists for a short time. It is pure:
// no lock, no clock, no call. Asking for a list, and what happens to a decision
// whose task is not found, is left to the processor.
package resolve

import (
	"fmt"
	"strings"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Listing is the API's answer about the tasks of one profile.
type Listing struct {
	At     time.Time // when it was asked for: it knows of nothing later
	Status int       // HTTP status of the answer
	tasks  []passfort.Task
}

// NewListing returns the Listing of an answer. It drops the tasks' Raw, so that
// none of them keeps the answer's body in memory.
func NewListing(at time.Time, status int, tasks []passfort.Task) *Listing {
	for i := range tasks {
		tasks[i].Raw = nil
	}
	return &Listing{At: at, Status: status, tasks: tasks}
}

// Tasks returns the tasks. The caller must not change them.
func (l *Listing) Tasks() []passfort.Task { return l.tasks }

// Error says why a key names no single task.
type Error struct {
	Reason decision.Reason // TaskNotFound or TaskAmbiguous
	Status int             // HTTP status of the list
	text   string
}

func (e *Error) Error() string { return e.text }

// Find returns the ID of the one live task that the key names; the error is an
// *Error. A task is live while it is not expired, so skipped and completed tasks
// are live.
func (l *Listing) Find(k decision.Key) (taskID string, err error) {
	var found []*passfort.Task
	expired := 0
	seen := make(map[string]bool)
	for i := range l.tasks {
		t := &l.tasks[i]
		id := strings.ToLower(t.ID)
		switch {
		case !names(k, t) || seen[id]:
		case t.IsExpired:
			expired++
		default:
			seen[id] = true
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
	case 1:
		return strings.ToLower(found[0].ID), nil
	default:
		return "", &Error{Reason: decision.TaskAmbiguous, Status: l.Status,
			text: fmt.Sprintf("the profile has %d live tasks of %s; name one by task_id: %s", len(found), k, candidates(found))}
	}
	text := fmt.Sprintf("the profile has no live task of %s", k)
	if expired > 0 {
		text += fmt.Sprintf(", only expired ones (%d)", expired)
	}
	if live := l.live(); len(live) > 0 {
		text += "; it has " + candidates(live)
	}
	return "", &Error{Reason: decision.TaskNotFound, Status: l.Status, text: text}
}

// names reports whether the key names the task.
func names(k decision.Key, t *passfort.Task) bool {
	if k.Alias != "" {
		return t.Variant.Alias == k.Alias
	}
	return t.Type == k.Type
}

func (l *Listing) live() (live []*passfort.Task) {
	for i := range l.tasks {
		if !l.tasks[i].IsExpired {
			live = append(live, &l.tasks[i])
		}
	}
	return live
}

// ExplainVariant explains an ID that is a task variant's and not a task's; "" if
// the profile has no task of such a variant.
func (l *Listing) ExplainVariant(id string) string {
	switch tasks := l.ofVariant(id); len(tasks) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s is the ID of a task variant, not of a task; the profile's task of that variant is %s", id, strings.ToLower(tasks[0].ID))
	default:
		return fmt.Sprintf("%s is the ID of a task variant, not of a task; the profile's tasks of that variant are %s", id, candidates(tasks))
	}
}

// ofVariant returns the profile's tasks whose variant has this ID: only live
// ones, if there are any.
func (l *Listing) ofVariant(id string) (live []*passfort.Task) {
	var expired []*passfort.Task
	for i := range l.tasks {
		switch t := &l.tasks[i]; {
		case !strings.EqualFold(t.Variant.ID, id):
		case t.IsExpired:
			expired = append(expired, t)
		default:
			live = append(live, t)
		}
	}
	if len(live) == 0 {
		return expired
	}
	return live
}

// maxText is how many bytes of one text are shown in an error.
const maxText = 80

// candidates lists tasks for an error, as many as fit a dead letter's header.
func candidates(tasks []*passfort.Task) string {
	var b strings.Builder
	for i, t := range tasks {
		one := fmt.Sprintf("%s (%s", t.ID, decision.OneLine(t.Type, maxText))
		if t.Variant.Alias != "" {
			one += ", alias " + fmt.Sprintf("%q", decision.OneLine(t.Variant.Alias, maxText))
		}
		one += ", " + decision.OneLine(string(t.State), maxText) + ")"
		if b.Len()+len(one) > decision.MaxErrorSize*2/3 {
			fmt.Fprintf(&b, " and %d more", len(tasks)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one)
	}
	return b.String()
}
