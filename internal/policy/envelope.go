package policy

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"verdict/internal/decision"
)

// envelope reads a webhook's envelope, and says whether it is of a completed
// check. Documented is {id, event, secret, timestamp, data}, timestamp in Unix
// seconds, that events are written as PRODUCT_STATUS_CHANGED is, and that data has
// a profile_id. How data holds a check is not documented: it may have the fields
// of a plain check result, or under check those by which the API shows a check
// (id, decision, task_ids). Webhooks that were sent in a batch come as envelopes
// one by one or not at all.
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
		check["id"] = top["id"] // the event's: a redelivery has the same
	}
	r.check(c, check, field)

	profile := r.uuid(data, "data", "profile_id", true)
	task := Task{ProfileID: profile, TaskID: r.uuid(data, "data", "task_id", false)}
	if raw := data["task"]; raw != nil {
		r.task(&task, raw)
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

// maxUnix is the last second that RFC 3339 can write.
const maxUnix = 253402300799

// isCheckCompleted says whether an event is "Check completed", however it is
// spelled: only CHECK_COMPLETED fits the way of the others, and none of them is
// near it.
func isCheckCompleted(event string) bool {
	return strings.EqualFold(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(event), "checkcompleted")
}

// tasks is the tasks of a list of IDs, each once.
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
