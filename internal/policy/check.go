package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// maxTasks bounds the tasks that one check result may be about.
const maxTasks = 64

// Check is a check result as read from a record.
type Check struct {
	// ID is what it counts once by: its check_id, else its id. One that is
	// shaped like a UUID is in lower case.
	ID string
	// Tasks are the tasks that it is about; at least one.
	Tasks  []Task
	Result decision.CheckResult
	// At is when the check was made, as it says itself, or else the record's
	// timestamp; in UTC. Zero: neither can be.
	At time.Time
}

// Task is a task as a check result names it.
type Task struct {
	ProfileID string // in lower case
	TaskID    string // in lower case; empty: named by alias or type
	// Alias and Type are what the result says of it; empty: not said.
	Alias, Type string
}

// key is the task as its counts are kept. What is named in two ways is counted
// apart: only the API knows that it is one.
func (t *Task) key() string {
	switch {
	case t.TaskID != "":
		return t.ProfileID + "/id/" + t.TaskID
	case t.Alias != "":
		return t.ProfileID + "/alias/" + t.Alias
	}
	return t.ProfileID + "/type/" + t.Type
}

// Decode reads the check result in a record's value: the plain form, or the
// webhook envelope of a completed check. ok is false, without an error, for the
// envelope of another event, which is no check result. The error is a
// *decision.Invalid with every fault; it never repeats an envelope's secret, which
// is not even read.
func Decode(rec *decision.Record) (c Check, ok bool, err error) {
	if fault := decision.ObjectFault(rec, rec.Value, "a check result"); fault != "" {
		return c, false, &decision.Invalid{Faults: []decision.Fault{{Field: "value", Problem: fault}}}
	}
	var r reader
	top := r.object("", rec.Value, "id", "event", "timestamp", "data", "profile_id", "task_id", "task", "check_id", "decision", "checked_at")
	if top["event"] != nil && top["data"] != nil && top["profile_id"] == nil {
		ok = r.envelope(&c, top)
	} else {
		ok = true
		r.plain(&c, top)
	}
	if len(r.faults) > 0 {
		return Check{}, false, &decision.Invalid{Faults: r.faults}
	}
	if at := rec.Time.UTC(); c.At.IsZero() && at.Year() >= 1 && at.Year() <= 9999 {
		c.At = at
	}
	return c, ok, nil
}

// reader takes the fields out of objects and notes their faults.
type reader struct{ faults []decision.Fault }

func (r *reader) fault(field, problem string, args ...any) {
	r.faults = append(r.faults, decision.Fault{Field: field, Problem: fmt.Sprintf(problem, args...)})
}

// object is the known members of a JSON object by their exact names, as they
// stand, without those that are null. encoding/json would match names without
// regard to case and let the last of two win, and a result that says two things
// must not be counted as one of them.
func (r *reader) object(field string, raw []byte, known ...string) map[string][]byte {
	given := make(map[string][]byte)
	if !decision.Members(raw, func(name, value []byte) {
		switch n := string(name); {
		case !slices.Contains(known, n):
		case given[n] != nil:
			r.fault(join(field, n), "given twice")
		default:
			given[n] = value
		}
	}) {
		r.fault(field, "must be an object") // not repeated: it may hold an envelope's secret
	}
	for name, value := range given {
		if string(value) == "null" {
			delete(given, name)
		}
	}
	return given
}

// plain is a check result in its own form.
func (r *reader) plain(c *Check, top map[string][]byte) {
	task := Task{ProfileID: r.uuid(top, "", "profile_id", true)}
	task.TaskID = r.uuid(top, "", "task_id", top["task"] == nil)
	if raw := top["task"]; raw != nil {
		r.task(&task, raw)
	}
	c.Tasks = []Task{task}
	r.check(c, top, "")
	if raw := top["checked_at"]; raw != nil {
		c.At = r.time(top, "checked_at")
	}
}

// task reads what names the task, or says what kind of task task_id is.
func (r *reader) task(t *Task, raw []byte) {
	before := len(r.faults)
	given := r.object("task", raw, "alias", "type")
	if len(r.faults) > before {
		return
	}
	t.Alias = r.name(given, "task", "alias")
	t.Type = r.name(given, "task", "type")
	if given["alias"] == nil && given["type"] == nil && t.TaskID == "" {
		r.fault("task", "must have alias or type, where there is no task_id")
	}
}

// check reads what a check came to, and its ID.
func (r *reader) check(c *Check, given map[string][]byte, field string) {
	result, ok := r.text(given, field, "decision")
	c.Result = decision.CheckResult(result)
	if given["decision"] == nil {
		r.fault(join(field, "decision"), "missing")
	} else if ok && !slices.Contains(decision.CheckResults[:], c.Result) {
		r.fault(join(field, "decision"), "must be one of %s, is %s", strings.Join(texts(), ", "), quote(given["decision"]))
	}
	name := "check_id"
	if given[name] == nil {
		name = "id"
	}
	if given[name] == nil {
		r.fault(join(field, "check_id"), "missing, and so is id: a check must count once")
		return
	}
	id, ok := r.text(given, field, name)
	if ok && !decision.ValidDecisionID(id) {
		r.fault(join(field, name), "must be 1 to %d printable characters, is %s", decision.MaxIDLength, quote(given[name]))
	}
	if decision.ValidID(id) {
		id = strings.ToLower(id)
	}
	c.ID = id
}

// uuid is a field that holds an ID of the API's, in lower case.
func (r *reader) uuid(given map[string][]byte, field, name string, needed bool) string {
	if given[name] == nil {
		if needed {
			r.fault(join(field, name), "missing")
		}
		return ""
	}
	s, ok := r.text(given, field, name)
	if ok && !decision.ValidID(s) {
		r.fault(join(field, name), "must be 8-4-4-4-12 hexadecimal, is %s", quote(given[name]))
	}
	return strings.ToLower(s)
}

func (r *reader) name(given map[string][]byte, field, name string) string {
	s, ok := r.text(given, field, name)
	if ok && !validName(s) {
		r.fault(join(field, name), "must be 1 to %d printable characters, is %s", maxName, quote(given[name]))
	}
	return s
}

// text is a field's text; ok is false where there is none or it is no string.
func (r *reader) text(given map[string][]byte, field, name string) (s string, ok bool) {
	raw := given[name]
	if raw == nil {
		return "", false
	}
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		r.fault(join(field, name), "must be a string, is %s", quote(raw))
		return "", false
	}
	return s, true
}

func (r *reader) time(given map[string][]byte, name string) time.Time {
	s, ok := r.text(given, "", name)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
		r.fault(name, "must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is %s", quote(given[name]))
	}
	return t
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// quote is a value as it stands, for a message: one line, of bounded length.
func quote(raw []byte) string {
	const most = 48
	return decision.OneLine(string(raw[:min(len(raw), 2*most)]), most)
}
