package policy

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"verdict/internal/decision"
)

// envelope reads a webhook's envelope and reports whether it is about a completed
// check. The API documents {id, event, secret, timestamp, data} with the timestamp
// in Unix seconds, event names such as PRODUCT_STATUS_CHANGED, and a profile_id in
// data. It does not document how data holds a check, so two forms are read: the
// fields of a plain check result, or under check the fields that the API has for a
// check (id, decision, task_ids). A batch of webhooks must be sent as one envelope
// a record.
func (r *reader) envelope(c *Check, top map[string][]byte) bool {
	event, ok := r.text(top, "", "event")
	if !ok || !isCheckCompleted(event) {
		return false
	}
	data := r.object("data", top["data"], "profile_id", "task_id", "task_ids", "task", "check_id", "id", "decision", "check")
	check, field := data, "data"
	if raw := data["check"]; raw != nil {
		field = "data.check"
		check = r.object(field, raw, "id", "check_id", "decision", "task_ids")
	} else if check["check_id"] == nil && check["id"] == nil && top["id"] != nil {
		check["id"] = top["id"] // the event's: a redelivery has the same ID
	}
	r.result(c, check, field)

	profile := r.uuid(data, "data", "profile_id", true)
	task := Task{ProfileID: profile, TaskID: r.uuid(data, "data", "task_id", false)}
	if raw := data["task"]; raw != nil {
		r.taskNames(&task, raw)
	}
	ids := check["task_ids"]
	if ids == nil {
		ids = data["task_ids"]
	}
	switch {
	case task != (Task{ProfileID: profile}):
		c.Tasks = []Task{task}
	case ids != nil:
		c.Tasks = r.tasks(profile, ids, field+".task_ids")
	default:
		r.fault(field+".task_ids", "missing, and so are data.task_id and data.task")
	}
	if raw := top["timestamp"]; raw != nil {
		seconds, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || seconds < 0 || seconds > maxUnix {
			r.fault("timestamp", "must be Unix seconds, is %s", quote(raw))
		} else {
			c.At = time.Unix(seconds, 0).UTC()
		}
	}
	return true
}

// maxUnix is the last second that RFC 3339 can express.
const maxUnix = 253402300799

// isCheckCompleted reports whether an event is "Check completed", in any spelling.
// CHECK_COMPLETED would match the documented events, and none of them is similar.
func isCheckCompleted(event string) bool {
	return strings.EqualFold(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(event), "checkcompleted")
}

// tasks returns the tasks of a list of IDs, each once.
func (r *reader) tasks(profile string, raw []byte, field string) []Task {
	var ids []string
	if json.Unmarshal(raw, &ids) != nil || len(ids) == 0 || len(ids) > maxTasks {
		r.fault(field, "must be a list of 1 to %d task IDs, is %s", maxTasks, quote(raw))
		return nil
	}
	var all []Task
	seen := make(map[string]bool)
	for _, id := range ids {
		if !decision.ValidID(id) {
			r.fault(field, "must be 8-4-4-4-12 hexadecimal, has %q", decision.OneLine(id, 48))
			return nil
		}
		task := Task{ProfileID: profile, TaskID: strings.ToLower(id)}
		if !seen[task.TaskID] {
			seen[task.TaskID] = true
			all = append(all, task)
		}
	}
	return all
}
