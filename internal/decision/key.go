package decision

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeyLength bounds an alias and a type, in characters.
const MaxKeyLength = 256

// Key names a task without its ID: by the alias of its variant, or by its type.
// One of the two is set, or neither where the decision has the task's ID. Both
// are compared exactly, case included. Which task it is has to be looked up.
type Key struct {
	Alias string
	Type  string
}

// String is the key as a message names it: alias "identity".
func (k Key) String() string {
	if k.Alias != "" {
		return "alias " + quote(k.Alias)
	}
	return "type " + quote(k.Type)
}

// taskID is the ID of the decision's task, or the key to look it up by.
func (f *fields) taskID() (string, Key) {
	switch {
	case !f.has("task"):
		return f.taskPart("task_id"), Key{}
	case f.has("task_id"):
		f.fault("task", "given beside task_id; give one of them")
		f.key() // and what else is wrong with it
		return f.taskPart("task_id"), Key{}
	}
	return "", f.key()
}

// key reads the member task. An unknown member is a fault here, unlike in the
// decision itself: it may be meant to narrow down which task it is.
func (f *fields) key() Key {
	raw := f.get("task")
	if raw[0] != '{' {
		f.fault("task", `must be an object with alias or type, is %s`, asItStands(raw))
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
			return // as good as none
		}
		s, ok := f.stringOf("task."+field, value)
		if ok && !validKey(s) {
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

// maxKeyFaults bounds the faults that are named of a hostile member task.
const maxKeyFaults = 4

func validKey(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= MaxKeyLength && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0
}
