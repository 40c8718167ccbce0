package decision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a decision may hold. They keep a hostile record from costing
// more than its own dead letter.
const (
	MaxRecordSize = 64 << 10 // bytes of key, value and headers together
	MaxIDLength   = 128      // characters
	MaxTextSize   = 1 << 10  // bytes of source, reason or batch_id
)

// Fault is one thing that is wrong with a record.
type Fault struct {
	Field   string // the decision's field, or "value" for the whole
	Problem string
}

// Invalid says everything that keeps a record from being a decision.
type Invalid struct {
	Faults []Fault
}

// Error names every fault: fields given twice, then the rest in the order of the
// fields.
func (e *Invalid) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field)
		b.WriteString(": ")
		b.WriteString(f.Problem)
	}
	return b.String()
}

// Decode reads the decision in a record's value: as JSON, or in a CloudEvent where
// the headers say so. The error is an *Invalid with every fault; the Decision then
// still has its ID where that could be read.
func Decode(rec *Record) (Decision, error) {
	if IsEvent(rec) {
		event, data := OpenEvent(rec)
		return DecodeValue(rec, event, data)
	}
	return DecodeValue(rec, nil, rec.Value)
}

// DecodeValue reads the decision in value, a JSON object that stands in rec or was
// made from what does. event is the CloudEvent around it, nil for none: its
// attributes stand for fields that the decision does not have itself.
func DecodeValue(rec *Record, event *Event, value []byte) (Decision, error) {
	var d Decision
	var f fields
	if event != nil {
		if event.sealed {
			return Unreadable(event, "")
		}
		f.faults = append(f.faults, event.faults...)
	}
	if fault := WholeFault(rec, value, "a decision"); fault != "" {
		return Unreadable(event, fault)
	}
	members(value, f.add)
	f.lend(event)

	d.ID, d.OwnID = f.id()
	if !d.OwnID {
		d.ID = rec.Origin().String()
	}
	profileID := f.taskPart("profile_id")
	taskID, key := f.taskID()
	d.Task, d.Key = NewTask(profileID, taskID), key
	d.State = f.state()
	d.DecidedAt, _ = f.time("decided_at")
	_, d.ExpiresAt = f.time("expires_at")
	d.Source = f.text("source")
	d.Reason = f.text("reason")
	d.BatchID = f.text("batch_id")

	if len(f.faults) > 0 {
		if !d.OwnID {
			d.ID = ""
		}
		return d, &Invalid{Faults: f.faults}
	}
	return d, nil
}

// WholeFault says what is wrong with the value as a whole, where it is to be an
// object that is called what; empty: nothing.
func WholeFault(rec *Record, v []byte, what string) string {
	switch {
	case rec.Size() > MaxRecordSize:
		return fmt.Sprintf("the record has %d bytes; the limit is %d", rec.Size(), MaxRecordSize)
	case len(bytes.TrimSpace(v)) == 0:
		return "empty; " + what + " is a JSON object"
	case !utf8.Valid(v):
		return "not valid UTF-8"
	case !json.Valid(v):
		var ignored json.RawMessage
		return fmt.Sprintf("not valid JSON: %v", json.Unmarshal(v, &ignored))
	case bytes.TrimSpace(v)[0] != '{':
		return "not a JSON object"
	}
	return ""
}

// Fields is every field of a decision by its name; others are left alone.
var Fields = [...]string{
	"id", "profile_id", "task_id", "task", "state", "is_complete",
	"decided_at", "expires_at", "source", "reason", "batch_id",
}

// place is the index of a name among Fields, or -1.
func place(name string) int {
	for i := range Fields {
		if Fields[i] == name {
			return i
		}
	}
	return -1
}

// fields is the members of the object by their exact name. encoding/json would
// match names without regard to case and let the last of two members win, and a
// decision that says two things must not be carried out as one of them.
type fields struct {
	raw    [len(Fields)][]byte // nil: not given
	faults []Fault
}

func (f *fields) fault(field, problem string, args ...any) {
	f.faults = append(f.faults, Fault{field, fmt.Sprintf(problem, args...)})
}

func (f *fields) add(key, raw []byte) {
	i := place(string(key))
	if i < 0 {
		return
	}
	if f.raw[i] == nil {
		f.raw[i] = raw
	} else if twice := (Fault{Fields[i], "given twice"}); !slices.Contains(f.faults, twice) {
		f.faults = append(f.faults, twice)
	}
}

// get is the field's value as it stands; nil where there is none. null is as
// good as none.
func (f *fields) get(key string) []byte {
	raw := f.raw[place(key)]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// has says whether a field was given.
func (f *fields) has(key string) bool { return f.get(key) != nil }

// string is the field's text; ok is false where there is none or it is no string.
func (f *fields) string(key string) (text string, ok bool) {
	raw := f.get(key)
	if raw == nil {
		return "", false
	}
	return f.stringOf(key, raw)
}

// stringOf is the text that raw is; ok is false where it is no string.
func (f *fields) stringOf(field string, raw []byte) (text string, ok bool) {
	if raw[0] != '"' {
		f.fault(field, "must be a string, is %s", asItStands(raw))
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string // here, since it goes to the heap, and few strings get this far
	if err := json.Unmarshal(raw, &s); err != nil {
		f.fault(field, "not a valid string")
		return "", false
	}
	return s, true
}

func (f *fields) id() (string, bool) {
	s, ok := f.string("id")
	if !ok {
		return "", false
	}
	if !ValidDecisionID(s) {
		f.fault("id", "must be 1 to %d printable characters, is %s", MaxIDLength, quote(s))
		return "", false
	}
	return s, true
}

// ValidDecisionID says whether s can be the ID of a decision.
func ValidDecisionID(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= MaxIDLength && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0
}

func (f *fields) taskPart(key string) string {
	if !f.has(key) {
		f.fault(key, "missing")
		return ""
	}
	s, ok := f.string(key)
	if ok && !ValidID(s) {
		f.fault(key, "must be 8-4-4-4-12 hexadecimal, is %s", quote(s))
	}
	return s
}

func (f *fields) state() State {
	var state State
	if s, ok := f.string("state"); ok {
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
		f.fault("is_complete", "must be true or false, is %s", asItStands(f.get("is_complete")))
	case raw == "false":
		f.fault("is_complete", "false decides nothing; leave it out or give state")
	case state == CompletedFail:
		f.fault("is_complete", "true contradicts state %s", state)
	case state == "" && !f.has("state"):
		state = CompletedPass
	}
	return state
}

func (f *fields) time(key string) (string, time.Time) {
	s, ok := f.string(key)
	if !ok {
		return "", time.Time{}
	}
	upper := strings.ToUpper(s) // RFC 3339 lets t and z be lower case; few readers do
	t, ok := parseTime(upper)
	if !ok {
		f.fault(key, "must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is %s", quote(s))
	} else if t.IsZero() {
		t = t.Add(1) // the zero time stands for none given
	}
	return upper, t
}

// parseTime reads an RFC 3339 time in upper case. time.Parse and Time.UnmarshalText
// let more by: an hour of one digit, a comma before the fraction, an offset of
// +24:60.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || s[len("2006-01-02T1")] == ':' || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	if zone := s[len(s)-len("+00:00"):]; !strings.HasSuffix(s, "Z") && (zone[1:3] > "23" || zone[4:] > "59") {
		return time.Time{}, false
	}
	return t, true
}

func (f *fields) text(key string) string {
	s, _ := f.string(key)
	if len(s) > MaxTextSize {
		f.fault(key, "has %d bytes; the limit is %d", len(s), MaxTextSize)
	}
	return s
}

// quote is s in quotes for a message, shortened: a message must stay one line of
// bounded length whatever the record holds.
func quote(s string) string {
	const most = 48
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// asItStands is a value in JSON for a message: a text in quotes, anything else
// without, so that 5 and "5" are told apart.
func asItStands(raw []byte) string {
	const most = 48
	s := string(raw)
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quote(s)
	}
	return OneLine(s, most)
}
