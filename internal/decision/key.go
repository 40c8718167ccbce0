package decision

import "bytes"

// Key names a task without its ID: by the alias of its variant, or by its type.
// One of the two is set, or neither if the decision has the task's ID. Both are
// compared exactly, case included. The task's ID has to be resolved.
type Key struct {
	Alias string
	Type  string
}

// String returns the key as a message names it: alias "identity".
func (k Key) String() string {
	if k.Alias != "" {
		return "alias " + quote(k.Alias)
	}
	return "type " + quote(k.Type)
}

// task returns the ID of the decision's task, or the key that names it.
func (f *fields) task() (id string, key Key) {
	switch {
	case !f.has("task"):
		return f.apiID("task_id"), Key{}
	case f.has("task_id"):
		f.fault("task", "given together with task_id; give only one of them")
		f.taskKey() // for its faults
		return f.apiID("task_id"), Key{}
	}
	return "", f.taskKey()
}

// maxKeyFaults bounds the faults that are named of a hostile member task.
const maxKeyFaults = 4

// taskKey reads the member task. An unknown member is a fault here, unlike in the
// decision itself: it may be meant to narrow down which task it is.
func (f *fields) taskKey() Key {
	raw := f.get("task")
	if raw[0] != '{' {
		f.fault("task", `must be an object with alias or type, is %s`, showJSON(raw))
		return Key{}
	}
	var k Key
	before := len(f.faults)
	given := make(map[string]bool)
	members(raw, func(name, value []byte) {
		field := string(name)
		var into *string
		switch field {
		case "alias":
			into = &k.Alias
		case "type":
			into = &k.Type
		default:
			if len(f.faults)-before < maxKeyFaults {
				f.fault("task", "has the unknown member %s; a task is named by alias or type", quote(field))
			}
			return
		}
		if given[field] {
			if len(f.faults)-before < maxKeyFaults {
				f.fault("task."+field, "given twice")
			}
			return
		}
		given[field] = true
		if bytes.Equal(value, []byte("null")) {
			return // counts as not given
		}
		s, ok := f.unquote("task."+field, value)
		if ok && !ValidKey(s) {
			f.fault("task."+field, "must be 1 to %d printable characters, is %s", MaxKeyLength, quote(s))
		}
		*into = s
	})
	switch {
	case len(f.faults) > before:
	case k.Alias != "" && k.Type != "":
		f.fault("task", "has both alias and type; give one of them")
	case k == Key{}:
		f.fault("task", "has neither alias nor type")
	}
	return k
}
