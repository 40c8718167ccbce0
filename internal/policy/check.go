package policy

import (
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// maxTasks bounds the tasks of one check result.
const maxTasks = 64

// Check is a check result, as read from a record.
type Check struct {
	// ID identifies the check, which counts once: check_id, or id without one. An
	// ID in the form of a UUID is in lower case.
	ID string
	// Tasks are the tasks that it is about, at least one.
	Tasks  []Task
	Result decision.CheckResult
	// At is the time of the check in UTC, as given in the result, or else the
	// record's timestamp. Zero: neither is usable.
	At time.Time
}

// Task is a task as a check result names it.
type Task struct {
	ProfileID string // in lower case
	TaskID    string // in lower case; empty: the task is named by alias or type
	// Alias and Type of the task, as given in the result; empty: not given.
	Alias, Type string
}

// key returns the key of the task's counts. A task that is named in two ways has
// two counts: only the API knows that it is one task.
func (t *Task) key() string {
	switch {
	case t.TaskID != "":
		return t.ProfileID + "/id/" + t.TaskID
	case t.Alias != "":
		return t.ProfileID + "/alias/" + t.Alias
	}
	return t.ProfileID + "/type/" + t.Type
}

// Decode reads the check result in a record's value: the plain form, or the webhook
// envelope of a completed check. ok is false, without an error, for the envelope
// of another event. The error is a *decision.Invalid with every fault; it never
// holds the envelope's secret, which is not read at all.
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

// plain reads a check result that is not in an envelope.
func (r *reader) plain(c *Check, top map[string][]byte) {
	task := Task{ProfileID: r.uuid(top, "", "profile_id", true)}
	task.TaskID = r.uuid(top, "", "task_id", top["task"] == nil)
	if raw := top["task"]; raw != nil {
		r.taskNames(&task, raw)
	}
	c.Tasks = []Task{task}
	r.result(c, top, "")
	if raw := top["checked_at"]; raw != nil {
		c.At = r.time(top, "checked_at")
	}
}

// taskNames reads the alias and type of a task, which name it or describe the task
// of task_id.
func (r *reader) taskNames(t *Task, raw []byte) {
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

// result reads the check's result and its ID.
func (r *reader) result(c *Check, given map[string][]byte, field string) {
	result, ok := r.text(given, field, "decision")
	c.Result = decision.CheckResult(result)
	if given["decision"] == nil {
		r.fault(join(field, "decision"), "missing")
	} else if ok && !slices.Contains(decision.CheckResults[:], c.Result) {
		r.fault(join(field, "decision"), "must be one of %s, is %s", strings.Join(resultNames(), ", "), quote(given["decision"]))
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
