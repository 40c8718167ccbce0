package rows

import (
	"maps"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// edit applies Map, Set and BatchID to every row, and records what it found.
type edit struct {
	renames map[string]string
	set     map[string]string
	batchID string
	members []byte // what Set adds: JSON members, joined by commas
	key     []byte // the profile ID that Set gives; nil: none

	values        map[string]string    // from a text in lower case to a state
	valuesUsed    map[string]bool      // the keys of values that were found
	stateTexts    tally                // texts in the place of a state
	completeTexts tally                // texts in the place of true
	replaced      map[string]*replaced // by field, what Set took the place of

	// Of JSON Lines only:
	renamed map[string]bool // the keys of renames that were found
	unknown []string        // the first members that are not fields, for a warning
}

// maxUnknown bounds edit.unknown.
const maxUnknown = 20

// present says which of the fields that BatchID provides the row has itself.
type present struct{ id, batchID bool }

func (p *present) note(field string) {
	switch field {
	case "id":
		p.id = true
	case "batch_id":
		p.batchID = true
	}
}

func newEdit(o *Options) edit {
	e := edit{
		renames: maps.Clone(o.Map), set: maps.Clone(o.Set), batchID: o.BatchID, renamed: make(map[string]bool),
		values: make(map[string]string), valuesUsed: make(map[string]bool), replaced: make(map[string]*replaced),
	}
	for text, state := range o.Values {
		e.values[strings.ToLower(text)] = state
	}
	for _, field := range sortedKeys(o.Set) {
		if value := o.Set[field]; value != "" {
			if len(e.members) > 0 {
				e.members = append(e.members, ',')
			}
			e.members = append(appendString(e.members, field), ':')
			e.members = appendCell(e.members, field, []byte(value))
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

// replaced counts the values that Set took the place of.
type replaced struct {
	tally
	first int // the line of the first one
}

// noteReplaced records that Set takes the place of another value than its own.
func (e *edit) noteReplaced(field string, text []byte, line int) {
	if e.set[field] == string(text) {
		return
	}
	r := e.replaced[field]
	if r == nil {
		r = &replaced{first: line}
		e.replaced[field] = r
	}
	r.note(text)
}

// noteComplete records a text of is_complete that is not true.
func (e *edit) noteComplete(text []byte) {
	if s := string(text); s != "true" && s != "false" {
		e.completeTexts.note(text)
	}
}

// growth returns the number of bytes that a row may grow by.
func (e *edit) growth() int {
	return len(e.members) + 2*len(e.batchID) + len(`,"id":"/9999999999","batch_id":""`)
}

// noteUnknown records a member's name if it is not a field of a decision.
func (e *edit) noteUnknown(name []byte) {
	for _, field := range decision.Fields {
		if string(name) == field {
			return
		}
	}
	if len(e.unknown) < maxUnknown {
		if s := decision.OneLine(string(name), 48); !slices.Contains(e.unknown, s) {
			e.unknown = append(e.unknown, s)
		}
	}
}
