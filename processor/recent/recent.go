// Package recent remembers the decisions that were settled lately in one
// partition: so that a decision that was sent twice is carried out once, and an
// ID that is used again for another decision is noticed. It is pure: no lock, no
// clock, no goroutine.
//
// These hold at any time:
//
//   - A Memory has the latest Size decisions with an ID of their own that were
//     settled with a result, each once, in the order in which they were first
//     added.
//   - Of the decisions on one task, at most one is not overtaken: the one that
//     was settled last.
//
// It holds hashes with a seed of the process, so no sender can make two decisions
// look the same. A decision takes 24 bytes and three places of 2 bytes in the
// indexes, whatever its length; at full size that is 330 KiB. Where decisions
// name their tasks by alias or type, each takes 16 bytes more.
//
// What to do about a repeat is left to the processor.
package recent

import (
	"encoding/hex"
	"hash/maphash"
	"strings"

	"verdict/internal/decision"
)

// Size is how many decisions a Memory remembers.
const Size = 10_000

var seed = maphash.MakeSeed()

// Print is what a Memory keeps of a decision.
type Print struct {
	identity uint64
	id       uint64
	task     uint64 // that it was settled on, by its ID; or as it is written, if its ID was never known; without the bit overtaken
}

// overtaken marks, in the task of a Print that is remembered, that another
// decision on the task was settled later.
const overtaken = 1 << 63

// PrintOf returns the print of a decision with its identity. on is its task, without a
// TaskID where that is not known.
func PrintOf(d *decision.Decision, identity decision.Identity, on decision.Task) Print {
	type place struct {
		task decision.Task
		key  decision.Key // of a task that is not known
	}
	at := place{task: on}
	if on.TaskID == "" {
		at.key = d.Key
	}
	return Print{
		identity: maphash.Bytes(seed, identity[:]),
		id:       maphash.String(seed, d.ID),
		task:     maphash.Comparable(seed, at) &^ overtaken,
	}
}

// Memory remembers the latest decisions of one partition. The zero Memory is
// empty and ready to use.
type Memory struct {
	prints []Print // a ring once it has Size
	next   int     // where the next one goes in the ring

	// tasks holds the IDs of the tasks that prints were settled on, for decisions
	// that name their task by alias or type. Nil: there was none yet.
	tasks [][16]byte

	byIdentity, byID index
	byTask           index // the latest of each task
}

// Settled is what is remembered of a decision.
type Settled struct {
	TaskID    string // of a decision by alias or type: the task that it was settled on; empty: not remembered
	Overtaken bool   // another decision on its task was settled later
}

// Find returns what is remembered of a decision; ok is false if nothing is.
func (m *Memory) Find(p Print) (s Settled, ok bool) {
	n := m.byIdentity.find(m.prints, identityOf, p.identity)
	if n < 0 {
		return Settled{}, false
	}
	s.Overtaken = m.prints[n].task&overtaken != 0
	if n < len(m.tasks) {
		s.TaskID = unpack(m.tasks[n])
	}
	return s, true
}

// HasID reports whether a decision with the print's ID is remembered, this one or
// another.
func (m *Memory) HasID(p Print) bool { return m.byID.find(m.prints, idOf, p.id) >= 0 }

// Overtake notes that a decision was settled, in this partition or another, so
// that others on its task are not the last ones any more.
func (m *Memory) Overtake(p Print) {
	if n := m.byTask.find(m.prints, taskOf, p.task); n >= 0 && m.prints[n].identity != p.identity {
		m.prints[n].task |= overtaken
	}
}

// Add remembers a decision that was settled with a result, as the last one of its
// task. taskID is the task that it was settled on if it names it by alias or type,
// and empty otherwise.
func (m *Memory) Add(p Print, taskID string) {
	m.Overtake(p)
	n := m.byIdentity.find(m.prints, identityOf, p.identity)
	if n < 0 {
		n = m.place()
		m.prints[n] = p
		m.byIdentity.put(m.prints, identityOf, n)
		m.byID.put(m.prints, idOf, n)
	}
	m.prints[n].task = p.task
	m.byTask.put(m.prints, taskOf, n)
	if taskID != "" && m.tasks == nil {
		m.tasks = make([][16]byte, len(m.prints), cap(m.prints))
	}
	if m.tasks == nil {
		return
	}
	if cap(m.tasks) < cap(m.prints) {
		m.tasks = append(make([][16]byte, 0, cap(m.prints)), m.tasks...)
	}
	m.tasks = m.tasks[:len(m.prints)]
	m.tasks[n] = pack(taskID)
}

// place returns where the next print goes, and forgets the one that is there.
func (m *Memory) place() int {
	if have := len(m.prints); have < Size {
		if have == cap(m.prints) { // append would leave more room than is ever used
			m.prints = append(make([]Print, 0, min(max(2*have, firstSlots), Size)), m.prints...)
		}
		m.prints = m.prints[:have+1]
		return have
	}
	n := m.next
	m.next = (n + 1) % Size
	m.byIdentity.remove(m.prints, identityOf, n)
	m.byID.remove(m.prints, idOf, n)
	m.byTask.remove(m.prints, taskOf, n)
	return n
}

func identityOf(p *Print) uint64 { return p.identity }
func idOf(p *Print) uint64       { return p.id }
func taskOf(p *Print) uint64     { return p.task &^ overtaken }

// pack returns the bytes of a task's ID; zero: it is none.
func pack(taskID string) (packed [16]byte) {
	if decision.ValidID(taskID) {
		_, _ = hex.Decode(packed[:], []byte(strings.ReplaceAll(taskID, "-", ""))) // it is hexadecimal
	}
	return packed
}

// unpack undoes pack, in lower case.
func unpack(packed [16]byte) string {
	if packed == ([16]byte{}) {
		return ""
	}
	digits := hex.EncodeToString(packed[:])
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
}
