package decision

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Identity tells decisions apart. Two records hold the same decision if, and only
// if, they agree in the ID, in the task as it is written, and in the state. Where the ID
// is a CloudEvent's, which is unique within the event's source alone, they must
// agree in the source too. A task named by its ID, by alias and by type is written
// in three ways, even if it is the same task.
//
// As text it is the decision_key of results and dead letters: 32 hexadecimal
// digits that are opaque to readers. It depends on nothing but the decision, so
// it is the same in every instance and after every restart.
type Identity [16]byte

// identityVersion begins what is hashed. It changes with what follows it, since a
// key must never mean something else than it did.
const identityVersion = "verdict decision 1"

// Identity returns the identity of a decision: the first half of the SHA-256 of
// the parts below, each written as its length in bytes, a colon and its text.
func (d *Decision) Identity() Identity {
	b := make([]byte, 0, 512) // stays on the stack, and few decisions need more
	part := func(s string) {
		b = append(strconv.AppendInt(b, int64(len(s)), 10), ':')
		b = append(b, s...)
	}
	part(identityVersion)
	if d.OwnID {
		part("id")
	} else {
		part("position") // no ID that a sender writes is a record's position
	}
	part(d.IDSource)
	part(d.ID)
	part(d.Task.ProfileID)
	switch {
	case d.Key.Alias != "":
		part("alias")
		part(d.Key.Alias)
	case d.Key.Type != "":
		part("type")
		part(d.Key.Type)
	default:
		part("task_id")
		part(d.Task.TaskID)
	}
	part(string(d.State))
	sum := sha256.Sum256(b)
	return Identity(sum[:len(Identity{})])
}

// String returns the decision_key; empty for the zero Identity, of a record that
// could not be read as a decision.
func (i Identity) String() string {
	if i == (Identity{}) {
		return ""
	}
	return hex.EncodeToString(i[:])
}
