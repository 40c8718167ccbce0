package rows

import (
	"bytes"
	"encoding/json"

	"verdict/internal/decision"
)

// line is the nth line of JSON Lines as it goes into the topic, and its key.
// Without Map, Set and BatchID, or if it is no object, it goes as it stands.
func (e *edit) line(line []byte, n int64) (value, key []byte) {
	asIs := len(e.renamed) == 0 && len(e.set) == 0 && e.batchID == ""
	w := newWriter(len(line) + e.room())
	var has own
	isObject := decision.Members(line, func(name, raw []byte) {
		if field, ok := e.renamed[string(name)]; ok {
			e.used[string(name)] = true
			name = []byte(field)
		}
		if len(e.strange) < mostStrange {
			e.see(name)
		}
		if !asIs {
			field := string(name)
			isNull := e.batchID != "" && (field == "id" || field == "batch_id") && string(raw) == "null"
			if e.sets(field) || isNull { // null is as good as none, and a second one would be a fault
				return
			}
			has.note(field)
			w.member(append(appendString(nil, field), ':'))
			w.b = append(w.b, raw...)
		}
		if key == nil && string(name) == "profile_id" {
			key = text(raw)
		}
	})
	if asIs || !isObject {
		w.b = append(w.b[:0], line...)
		return w.withKey(key)
	}
	return w.finish(e, key, has, n)
}

// text is the text of a JSON string; nil if raw is none or empty.
func text(raw []byte) []byte {
	if raw[0] != '"' || len(raw) == 2 {
		return nil
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}

// json reads a line of JSON Lines and its length.
func (r *Reader) json() (Row, int, error) {
	n, err := r.lines.next(0)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n))}
	row.Value, row.Key = r.edit.line(row.Raw, r.number)
	return row, n, nil
}
