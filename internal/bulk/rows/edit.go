package rows

import (
	"maps"
	"slices"

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
