package rows

import (
	"fmt"

	"verdict/internal/decision"
)

// relation is how a row relates to another row. Where a row has several, they are
// reported in this order.
type relation uint64

const (
	sameIDOtherTask relation = iota
	oppositeState
	supersededByLater
	sameDecision // the ID is the same too
	sameTaskAndState
)

// kind returns the kind of finding that a relation is.
func (r relation) kind() Kind {
	return [...]Kind{
		sameIDOtherTask:   Invalid,
		oppositeState:     Invalid,
		supersededByLater: Superseded,
		sameDecision:      Duplicate,
		sameTaskAndState:  Duplicate,
	}[r]
}

// relationEntry returns the entry of a finding about the row at a place. Its key is the
// place and the relation, with the row's own state as the lowest bit; its extra is the
// place of the other row.
func relationEntry(at place, r relation, state uint64, other place) entry {
	return entry{key: [2]uint64{uint64(at), uint64(r)<<1 | state}, place: at, extra: uint64(other)}
}

// relationOf returns the relation of an entry that relationEntry made.
func relationOf(e *entry) relation { return relation(e.key[1] >> 1) }

// text describes the entry of a finding for people.
func (e *entry) text(in *Input) string {
	other := Position{in, place(e.extra)}
	switch relationOf(e) {
	case sameIDOtherTask:
		return fmt.Sprintf("id: the same as in %s, which is about another task", other)
	case oppositeState:
		states := [...]decision.State{decision.CompletedPass, decision.CompletedFail}
		own := e.key[1] & 1
		return fmt.Sprintf("state: %s, but %s in %s for the same task; correct one of them, or let the last row win (--last-wins)", states[own], states[1-own], other)
	case supersededByLater:
		return fmt.Sprintf("superseded by %s, which decides the task differently", other)
	case sameDecision:
		return fmt.Sprintf("the same id, task and state as in %s", other)
	case sameTaskAndState:
		return fmt.Sprintf("the same task and state as in %s", other)
	}
	return "" // there is no other relation
}
