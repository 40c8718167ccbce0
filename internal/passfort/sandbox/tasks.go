package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"verdict/internal/decision"
)

// taskID is the two IDs of a task as bytes, so that case makes no difference and
// a million of them take little.
type taskID struct{ profile, task [16]byte }

func (id taskID) hash(seed uint64) uint64 {
	for _, half := range [...][16]byte{id.profile, id.task} {
		seed = mix(seed, binary.LittleEndian.Uint64(half[:8]))
		seed = mix(seed, binary.LittleEndian.Uint64(half[8:]))
	}
	return seed
}

// parseID reads 8-4-4-4-12 hexadecimal digits.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

func appendID(b []byte, id [16]byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	return hex.AppendEncode(append(b, '-'), id[10:])
}

func formatID(id [16]byte) string { return string(appendID(nil, id)) }

// stateCode is a state in one byte.
type stateCode uint8

const (
	incomplete stateCode = iota
	completedPass
	completedFail
)

var states = [...]decision.State{
	incomplete:    decision.Incomplete,
	completedPass: decision.CompletedPass,
	completedFail: decision.CompletedFail,
}

// record is what is remembered of a task.
type record struct {
	completions uint32
	state       stateCode
}

// shards is how many parts the memory of the tasks has, each with its own lock.
// A profile's tasks are all in one, so listing them looks through that one only.
const shards = 256

// tasks remembers every task that was touched, for as long as the sandbox lives:
// 70 to 100 bytes each, 100 MB for a million. Nothing is ever forgotten, because
// what it says at the end is what a test checks.
type tasks struct {
	shards [shards]struct {
		mu    sync.Mutex // for a look-up or a scan, never across anything that waits
		known map[taskID]record
	}
	touched atomic.Int64
}

func (t *tasks) init() {
	for i := range t.shards {
		t.shards[i].known = make(map[taskID]record)
	}
}

func shardOf(profile [16]byte) uint64 {
	return taskID{profile: profile}.hash(0) % shards
}

func (t *tasks) count() int64 { return t.touched.Load() }

// update changes the task's record, which is a new one in its initial state if
// the task was not touched before.
func (t *tasks) update(id taskID, initial stateCode, change func(*record)) {
	s := &t.shards[shardOf(id.profile)]
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.known[id]
	if !ok {
		r.state = initial
		t.touched.Add(1)
	}
	change(&r)
	s.known[id] = r
}

// touch is the state of the task, remembered from now on.
func (s *Sandbox) touch(id taskID) (state stateCode) {
	if r, ok := s.tasks.peek(id); ok { // the usual case needs no writing
		return r.state
	}
	s.tasks.update(id, s.initial(id), func(r *record) { state = r.state })
	return state
}

// complete puts the task into state and says whether it was complete before.
func (t *tasks) complete(id taskID, initial stateCode, state decision.State) (repeat bool) {
	code := stateCode(slices.Index(states[:], state))
	t.update(id, initial, func(r *record) {
		repeat = r.state != incomplete
		r.state = code
		r.completions++
	})
	return repeat
}

// peek is the task's record, if it was touched.
func (t *tasks) peek(id taskID) (record, bool) {
	s := &t.shards[shardOf(id.profile)]
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.known[id]
	return r, ok
}

// entry is a task with its record.
type entry struct {
	id taskID
	record
}

// of is the touched tasks of a profile, by ID.
func (t *tasks) of(profile [16]byte) []entry {
	return t.scan(shardOf(profile), func(id taskID) bool { return id.profile == profile })
}

// scan is the entries of one shard that are wanted, by ID.
func (t *tasks) scan(shard uint64, wanted func(taskID) bool) []entry {
	s := &t.shards[shard]
	var found []entry
	s.mu.Lock()
	for id, r := range s.known {
		if wanted(id) {
			found = append(found, entry{id, r})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, func(a, b entry) int {
		if c := bytes.Compare(a.id.profile[:], b.id.profile[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.id.task[:], b.id.task[:])
	})
	return found
}

// Task is a task that was touched.
type Task struct {
	ProfileID, TaskID string // lower case
	State             decision.State
	Completions       int // how often it was completed
}

// Tasks is every task that was touched, in no order that means anything. Calls
// may go on meanwhile; whether theirs are seen is open.
func (s *Sandbox) Tasks() iter.Seq[Task] {
	return func(yield func(Task) bool) {
		for shard := range uint64(shards) {
			for _, e := range s.tasks.scan(shard, func(taskID) bool { return true }) {
				if !yield(Task{formatID(e.id.profile), formatID(e.id.task), states[e.state], int(e.completions)}) {
					return
				}
			}
		}
	}
}

// State is the state of a task, empty if it was never touched. Asking does not
// touch it.
func (s *Sandbox) State(profileID, taskID string) decision.State {
	if r, ok := s.peek(profileID, taskID); ok {
		return states[r.state]
	}
	return ""
}

// Completions is how often a task was completed, also where a Fault spoilt the
// answer.
func (s *Sandbox) Completions(profileID, taskID string) int {
	r, _ := s.peek(profileID, taskID)
	return int(r.completions)
}

func (s *Sandbox) peek(profile, task string) (record, bool) {
	id, ok := parseTask(profile, task)
	if !ok {
		return record{}, false
	}
	return s.tasks.peek(id)
}

// SetState puts a task into a state without a call, as a person in the portal or
// a smart policy would. It is not counted as a completion. It reports false if
// the IDs or the state are not valid.
func (s *Sandbox) SetState(profileID, taskID string, state decision.State) bool {
	id, ok := parseTask(profileID, taskID)
	code := slices.Index(states[:], state)
	if !ok || code < 0 {
		return false
	}
	s.tasks.update(id, incomplete, func(r *record) { r.state = stateCode(code) })
	return true
}

func parseTask(profile, task string) (id taskID, ok bool) {
	var okProfile, okTask bool
	id.profile, okProfile = parseID(profile)
	id.task, okTask = parseID(task)
	return id, okProfile && okTask
}
