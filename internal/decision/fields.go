package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxTextSize bounds source, reason and batch_id, in bytes each.
const MaxTextSize = 1 << 10

// Fields holds the name of every field of a decision; other members are ignored.
var Fields = [...]string{
	"id", "profile_id", "task_id", "task", "state", "is_complete",
	"decided_at", "expires_at", "source", "reason", "batch_id",
}

// IsField reports whether a decision has a field of this name.
func IsField(name string) bool { return fieldIndex(name) >= 0 }

// fieldIndex returns the index of a name among Fields, or -1.
func fieldIndex(name string) int {
	for i := range Fields {
		if Fields[i] == name {
			return i
		}
	}
	return -1
}

// fields holds the members of an object by their exact name, and what is wrong
// with them. encoding/json would match names without regard to case and let the
// last of two members win; a decision that says two things must not be carried
// out as either of them.
type fields struct {
	raw    [len(Fields)][]byte // nil: not given
	faults []Fault
}

func (f *fields) fault(field, problem string, args ...any) {
	f.faults = append(f.faults, Fault{field, fmt.Sprintf(problem, args...)})
}

func (f *fields) add(name, raw []byte) {
	i := fieldIndex(string(name))
	if i < 0 {
		return
	}
	if f.raw[i] == nil {
		f.raw[i] = raw
	} else if twice := (Fault{Fields[i], "given twice"}); !slices.Contains(f.faults, twice) {
		f.faults = append(f.faults, twice)
	}
}

// get returns the field's value as JSON, or nil if it was not given. null counts
// as not given.
func (f *fields) get(field string) []byte {
	raw := f.raw[fieldIndex(field)]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// has reports whether the field was given.
func (f *fields) has(field string) bool { return f.get(field) != nil }

// text returns the field's text; ok is false if it was not given or is not a
// string.
func (f *fields) text(field string) (text string, ok bool) {
	raw := f.get(field)
	if raw == nil {
		return "", false
	}
	return f.unquote(field, raw)
}

// unquote returns the text in a JSON string; ok is false if raw is not a string.
func (f *fields) unquote(field string, raw []byte) (text string, ok bool) {
	if raw[0] != '"' {
		f.fault(field, "must be a string, is %s", showJSON(raw))
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string // declared here, since it goes to the heap, and few strings get this far
	if err := json.Unmarshal(raw, &s); err != nil {
		f.fault(field, "not a valid string")
		return "", false
	}
	return s, true
}

func (f *fields) id() (string, bool) {
	s, ok := f.text("id")
	if !ok {
		return "", false
	}
	if !ValidDecisionID(s) {
		f.fault("id", "must be 1 to %d printable characters, is %s", MaxIDLength, quote(s))
		return "", false
	}
	return s, true
}

// apiID returns a field that holds an ID of the API's.
func (f *fields) apiID(field string) string {
	if !f.has(field) {
		f.fault(field, "missing")
		return ""
	}
	s, ok := f.text(field)
	if ok && !ValidID(s) {
		f.fault(field, "must be 8-4-4-4-12 hexadecimal, is %s", quote(s))
	}
	return s
}

// state returns the wanted state, from state or is_complete.
func (f *fields) state() State {
	var state State
	if s, ok := f.text("state"); ok {
		state = State(s)
		if state != CompletedPass && state != CompletedFail {
			f.fault("state", "must be %s or %s, is %s", CompletedPass, CompletedFail, quote(s))
		}
	}
	if !f.has("is_complete") {
		if !f.has("state") {
			f.fault("state", "missing")
		}
		return state
	}
	switch raw := string(f.get("is_complete")); {
	case raw != "true" && raw != "false":
		f.fault("is_complete", "must be true or false, is %s", showJSON(f.get("is_complete")))
	case raw == "false":
		f.fault("is_complete", "false decides nothing; leave it out or give state")
	case state == CompletedFail:
		f.fault("is_complete", "true contradicts state %s", state)
	case state == "" && !f.has("state"):
		state = CompletedPass
	}
	return state
}

// timestamp returns a time as its text in upper case and as a time.Time.
func (f *fields) timestamp(field string) (string, time.Time) {
	s, ok := f.text(field)
	if !ok {
		return "", time.Time{}
	}
	upper := strings.ToUpper(s) // RFC 3339 allows t and z in lower case; few readers do
	t, ok := parseTime(upper)
	if !ok {
		f.fault(field, "must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is %s", quote(s))
	} else if t.IsZero() {
		t = t.Add(1) // the zero time means that none was given
	}
	return upper, t
}

// boundedText returns a field of up to MaxTextSize bytes.
func (f *fields) boundedText(field string) string {
	s, _ := f.text(field)
	if len(s) > MaxTextSize {
		f.fault(field, "has %d bytes; the limit is %d", len(s), MaxTextSize)
	}
	return s
}
