package backfill

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"verdict/decision"
)

// edit is what Map and Set do to every row.
type edit struct {
	renamed map[string]string
	set     map[string]string
	tail    []byte // the members that Set adds, each with its colon and comma
	key     []byte // the profile ID that Set gives; nil: none
}

func newEdit(o *Options) edit {
	e := edit{renamed: maps.Clone(o.Map), set: maps.Clone(o.Set)}
	for _, field := range sorted(o.Set) {
		if value := o.Set[field]; value != "" {
			if len(e.tail) > 0 {
				e.tail = append(e.tail, ',')
			}
			e.tail = append(appendString(e.tail, field), ':')
			e.tail = appendCell(e.tail, field, []byte(value))
		}
	}
	if id := o.Set["profile_id"]; id != "" {
		e.key = []byte(id)
	}
	return e
}

func (e *edit) sets(field string) bool {
	_, ok := e.set[field]
	return ok
}

// line is a line of JSON Lines as it goes into the topic, and its key. Without
// Map and Set, or if it is no object, it goes as it stands.
func (e *edit) line(line []byte) (value, key []byte) {
	asIs := len(e.renamed) == 0 && len(e.set) == 0
	w := newWriter(len(line) + len(e.tail))
	isObject := decision.Members(line, func(name, raw []byte) {
		if !asIs {
			field, ok := e.renamed[string(name)]
			if !ok {
				field = string(name)
			}
			if e.sets(field) {
				return
			}
			name = []byte(field)
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
	return w.finish(e, key)
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

// writer writes a JSON object and, behind it in the same memory, the key: a row
// costs one allocation.
type writer struct{ b []byte }

func newWriter(size int) writer {
	const key = 36
	return writer{b: append(make([]byte, 0, size+key+2), '{')}
}

// member begins a member, by its name with the colon, or adds whole members.
func (w *writer) member(name []byte) {
	if len(w.b) > 1 {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, name...)
}

func (w *writer) cell(field string, cell []byte) { w.b = appendCell(w.b, field, cell) }

// finish adds what Set gives and ends the object.
func (w *writer) finish(e *edit, key []byte) ([]byte, []byte) {
	if len(e.tail) > 0 {
		w.member(e.tail)
	}
	w.b = append(w.b, '}')
	if e.key != nil {
		key = e.key
	}
	return w.withKey(key)
}

// withKey is what was written, and the key for it: a valid ID in lower case,
// anything else as it stands.
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

// appendCell writes a cell as JSON. Only is_complete can be anything but a string;
// where it is neither true nor false it stays one, which decision.Decode faults.
func appendCell(b []byte, field string, cell []byte) []byte {
	if field == "is_complete" && (string(cell) == "true" || string(cell) == "false") {
		return append(b, cell...)
	}
	return appendString(b, cell)
}

// appendString writes a JSON string. Unlike encoding/json it leaves invalid UTF-8
// as it stands, so that a text in another encoding is faulted as such and not
// carried out with its letters replaced.
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

func isField(name string) bool { return slices.Contains(decision.Fields[:], name) }

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
