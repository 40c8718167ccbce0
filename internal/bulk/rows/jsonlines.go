package rows

import (
	"bytes"
	"encoding/json"
	"strings"

	"verdict/internal/decision"
)

// nextJSON reads a line of JSON Lines and returns it with its length.
func (r *Reader) nextJSON() (Row, int, error) {
	n, err := r.lines.next(0)
	if err != nil {
		return Row{}, 0, err
	}
	row := Row{Raw: trimEnd(r.lines.peek(n))}
	row.Value, row.Key = r.edit.line(row.Raw, r.number, r.lines.line)
	return row, n, nil
}

// line returns the value and the key of the nth row, a JSON object in a line. What is
// not an object stays as it is, and so does every object without Map, Values, Set and
// BatchID.
func (e *edit) line(line []byte, n int64, at int) (value, key []byte) {
	unchanged := len(e.renames) == 0 && len(e.values) == 0 && len(e.set) == 0 && e.batchID == ""
	w := newWriter(len(line) + e.growth())
	var has present
	isObject := decision.Members(line, func(name, raw []byte) {
		if field, ok := e.renames[string(name)]; ok {
			e.renamed[string(name)] = true
			if field == "" {
				return
			}
			name = []byte(field)
		}
		switch string(name) {
		case "state":
			if raw[0] == '"' && len(raw) > 2 {
				if was := trimCell(text(raw)); len(was) > 0 {
					if is := e.state(was); !bytes.Equal(is, was) {
						raw = appendString(nil, is)
					}
				}
			}
		case "is_complete":
			e.noteComplete(raw)
		}
		if len(e.unknown) < maxUnknown {
			e.noteUnknown(name)
		}
		if !unchanged {
			field := string(name)
			// null counts as absent. It is left out, since the member that BatchID adds
			// would be a second one of the same name, which is a fault.
			isNull := e.batchID != "" && (field == "id" || field == "batch_id") && string(raw) == "null"
			if e.sets(field) {
				if string(raw) != "null" && string(raw) != `""` {
					e.noteReplaced(strings.Clone(field), shown(raw), at) // the clone keeps field itself off the heap
				}
				return
			}
			if isNull {
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
	if unchanged || !isObject {
		w.b = append(w.b[:0], line...)
		return w.withKey(key)
	}
	return w.finish(e, key, has, n)
}

// shown returns a value as it is shown to people.
func shown(raw []byte) []byte {
	if s := text(raw); s != nil {
		return s
	}
	return raw
}

// text returns the text of a JSON string; nil if raw is not a string, or empty.
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
