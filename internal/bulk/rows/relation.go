package rows

import (
	"fmt"

	"verdict/internal/decision"
)

// relation is how a row stands to another one. The order is that in which one is
// told before the other.
type relation uint64

const (
	sameIDOtherTask relation = iota
	oppositeState
	supersededByLater
	sameDecision // with the ID
	sameTaskAndState
)

func (r relation) kind() Kind {
	switch r {
	case sameIDOtherTask, oppositeState:
		return Invalid
	case supersededByLater:
		return Superseded
	default:
		return Duplicate
	}
}

// A finding about a row is an entry whose key is the row's place and the relation,
// with the row's own state as the lowest bit, and whose extra is the other row's
// place. A row can have several.
func findingOf(at place, r relation, state uint64, other place) entry {
	return entry{key: [2]uint64{uint64(at), uint64(r)<<1 | state}, place: at, extra: uint64(other)}
}

func (e *entry) relation() relation { return relation(e.key[1] >> 1) }

// text says the finding to people.
func (e *entry) text(in *Input) string {
	other := in.where(place(e.extra))
	switch e.relation() {
	case sameIDOtherTask:
		return fmt.Sprintf("id: the same as in %s, which is about another task", other)
	case oppositeState:
		states := [...]decision.State{decision.CompletedPass, decision.CompletedFail}
		own := e.key[1] & 1
		return fmt.Sprintf("state: %s, and %s in %s for the same task; correct one, or let the last win (--last-wins)", states[own], states[1-own], other)
	case supersededByLater:
		return fmt.Sprintf("the task is decided otherwise in %s, which wins", other)
	case sameDecision:
		return fmt.Sprintf("the same id, task and state as in %s", other)
	default:
		return fmt.Sprintf("the same task and state as in %s", other)
	}
}
