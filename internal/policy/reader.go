package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// reader reads fields from JSON objects and collects their faults.
type reader struct{ faults []decision.Fault }

func (r *reader) fault(field, problem string, args ...any) {
	r.faults = append(r.faults, decision.Fault{Field: field, Problem: fmt.Sprintf(problem, args...)})
}

// object returns the known members of a JSON object, raw and by their exact names,
// without those that are null. encoding/json would match names without regard to
// case and let the last of two win; a result that says two things must not be
// counted as either of them.
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
		r.fault(field, "must be an object") // the value is left out: it may hold an envelope's secret
	}
	for name, value := range given {
		if string(value) == "null" {
			delete(given, name)
		}
	}
	return given
}

// uuid returns a field that holds an ID of the API's, in lower case.
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

// name returns a field that holds the alias or type of a task.
func (r *reader) name(given map[string][]byte, field, name string) string {
	s, ok := r.text(given, field, name)
	if ok && !decision.ValidKey(s) {
		r.fault(join(field, name), "must be 1 to %d printable characters, is %s", decision.MaxKeyLength, quote(given[name]))
	}
	return s
}

// text returns a field's text; ok is false if it is absent or not a string.
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

// quote returns a raw value for a message: one line of bounded length.
func quote(raw []byte) string {
	const limit = 48
	return decision.OneLine(string(raw[:min(len(raw), 2*limit)]), limit)
}
