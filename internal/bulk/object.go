package backfill

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"verdict/internal/decision"
)

// edit is what Map, Set and BatchID do to every row, and what it saw doing it.
type edit struct {
	renamed map[string]string
	set     map[string]string
	batchID string
	tail    []byte // the members that Set adds, each with its colon and comma
	key     []byte // the profile ID that Set gives; nil: none

	// Of JSON Lines alone:
	used    map[string]bool // what was found of renamed
	strange []string        // the first members that are no fields, for a message
}

// mostStrange bounds what is remembered of members that are no fields.
const mostStrange = 20

// own says which of the fields that BatchID would give the row has itself.
type own struct{ id, batchID bool }

func (o *own) note(field string) {
	switch field {
	case "id":
		o.id = true
	case "batch_id":
		o.batchID = true
	}
}

func newEdit(o *Options) edit {
	e := edit{renamed: maps.Clone(o.Map), set: maps.Clone(o.Set), batchID: o.BatchID, used: make(map[string]bool)}
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

// room is what a row may grow by.
func (e *edit) room() int {
	return len(e.tail) + 2*len(e.batchID) + len(`,"id":"/9999999999","batch_id":""`)
}

// see remembers a member's name if it is no field of a decision.
func (e *edit) see(name []byte) {
	for _, field := range decision.Fields {
		if string(name) == field {
			return
		}
	}
	if len(e.strange) < mostStrange {
		if s := short(string(name)); !slices.Contains(e.strange, s) {
			e.strange = append(e.strange, s)
		}
	}
}

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

// finish adds what Set and, to the nth row, BatchID give and ends the object.
func (w *writer) finish(e *edit, key []byte, has own, n int64) ([]byte, []byte) {
	if len(e.tail) > 0 {
		w.member(e.tail)
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

// appendCell writes a cell as JSON. Only is_complete and task can be anything but a
// string; where they are no boolean and no object they stay one, which
// decision.Decode faults.
func appendCell(b []byte, field string, cell []byte) []byte {
	switch {
	case field == "is_complete" && (string(cell) == "true" || string(cell) == "false"),
		field == "task" && cell[0] == '{' && json.Valid(cell):
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
