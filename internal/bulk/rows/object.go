package rows

import (
	"encoding/json"
	"strconv"

	"verdict/internal/decision"
)

// writer writes a JSON object and, after it in the same memory, the key, so that a
// row costs one allocation.
type writer struct{ b []byte }

func newWriter(size int) writer {
	const key = 36
	return writer{b: append(make([]byte, 0, size+key+2), '{')}
}

// member adds the name of a member, with its colon, or complete members.
func (w *writer) member(name []byte) {
	if len(w.b) > 1 {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, name...)
}

func (w *writer) cell(field string, cell []byte) { w.b = appendCell(w.b, field, cell) }

// finish adds the members that Set and BatchID give to the nth row, ends the object,
// and returns it with the key.
func (w *writer) finish(e *edit, key []byte, has present, n int64) ([]byte, []byte) {
	if len(e.members) > 0 {
		w.member(e.members)
	}
	if e.batchID != "" && !has.id && e.set["id"] == "" {
		w.member([]byte(`"id":`))
		w.b = appendString(w.b, e.batchID)
		w.b = strconv.AppendInt(append(w.b[:len(w.b)-1], '/'), n, 10)
		w.b = append(w.b, '"')
	}
	if e.batchID != "" && !has.batchID && e.set["batch_id"] == "" {
		w.member([]byte(`"batch_id":`))
		w.b = appendString(w.b, e.batchID)
	}
	w.b = append(w.b, '}')
	if e.key != nil {
		key = e.key
	}
	return w.withKey(key)
}

// withKey returns what was written, and the key: a valid ID in lower case, anything
// else unchanged.
func (w *writer) withKey(key []byte) ([]byte, []byte) {
	n := len(w.b)
	if len(key) == 0 {
		return w.b, nil
	}
	if decision.ValidID(string(key)) {
		for _, c := range key {
			if 'A' <= c && c <= 'F' {
				c += 'a' - 'A'
			}
			w.b = append(w.b, c)
		}
	} else {
		w.b = append(w.b, key...)
	}
	return w.b[:n:n], w.b[n:]
}

// appendCell appends a cell as JSON: a string, except for an is_complete that is a
// boolean and a task that is an object. If they are not, decision.Decode reports the
// string as a fault.
func appendCell(b []byte, field string, cell []byte) []byte {
	switch {
	case field == "is_complete" && (string(cell) == "true" || string(cell) == "false"),
		field == "task" && cell[0] == '{' && json.Valid(cell):
		return append(b, cell...)
	}
	return appendString(b, cell)
}

// appendString appends a JSON string. Unlike encoding/json it keeps invalid UTF-8, so
// that text in another encoding is reported as a fault and not carried out with its
// letters replaced.
func appendString[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
