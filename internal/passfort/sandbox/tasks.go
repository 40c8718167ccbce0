package sandbox

import (
	"bytes"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"verdict/internal/decision"
)

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

// record is what the sandbox remembers of a task.
type record struct {
	completions uint32
	state       stateCode
}

// shards is the number of parts of tasks, each with its own lock. All tasks of a profile
// are in the same shard, so that listing them scans one shard only.
const shards = 256

// tasks remembers every task that a call named, for as long as the sandbox lives: 70 to
// 100 bytes each, 100 MB for a million. It forgets nothing, because tests check it at
// their end.
type tasks struct {
	shards [shards]struct {
		mu    sync.Mutex // held for a lookup or a scan, never while waiting
		known map[taskID]record
	}
	size atomic.Int64
}

func (t *tasks) init() {
	for i := range t.shards {
		t.shards[i].known = make(map[taskID]record)
	}
}

func shardOf(profile [16]byte) uint64 {
	return taskID{profile: profile}.hash(0) % shards
}

func (t *tasks) count() int64 { return t.size.Load() }

// update changes the task's record. A new record starts in the initial state.
func (t *tasks) update(id taskID, initial stateCode, change func(*record)) {
	s := &t.shards[shardOf(id.profile)]
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.known[id]
	if !ok {
		r.state = initial
		t.size.Add(1)
	}
	change(&r)
	s.known[id] = r
}

// remember returns the state of the task and remembers the task from now on.
func (s *Sandbox) remember(id taskID) (state stateCode) {
	if r, ok := s.tasks.get(id); ok { // usually, and without writing
		return r.state
	}
	s.tasks.update(id, s.options.initial(id), func(r *record) { state = r.state })
	return state
}

// complete puts the task into state and reports whether it was complete before.
func (t *tasks) complete(id taskID, initial stateCode, state decision.State) (repeat bool) {
	code := stateCode(slices.Index(states[:], state))
	t.update(id, initial, func(r *record) {
		repeat = r.state != incomplete
		r.state = code
		r.completions++
	})
	return repeat
}

// get returns the task's record, if there is one.
func (t *tasks) get(id taskID) (record, bool) {
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

// ofProfile returns the remembered tasks of a profile, sorted by ID.
func (t *tasks) ofProfile(profile [16]byte) []entry {
	return t.scan(shardOf(profile), func(id taskID) bool { return id.profile == profile })
}

// scan returns the wanted entries of one shard, sorted by ID.
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

// Task is a task that a call named.
type Task struct {
	ProfileID, TaskID string // lower case
	State             decision.State
	Completions       int // how often it was completed
}

// Tasks returns every task that a call named, in no particular order. It may or may not
// include tasks of calls that run at the same time.
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

// State returns the state of a task; empty if no call named it.
func (s *Sandbox) State(profileID, taskID string) decision.State {
	if r, ok := s.tasks.lookup(profileID, taskID); ok {
		return states[r.state]
	}
	return ""
}

// Completions returns how often a task was completed, including completions whose answer
// a Fault replaced.
func (s *Sandbox) Completions(profileID, taskID string) int {
	r, _ := s.tasks.lookup(profileID, taskID)
	return int(r.completions)
}

// lookup returns the record of a task, if there is one.
func (t *tasks) lookup(profile, task string) (record, bool) {
	id, ok := parseTask(profile, task)
	if !ok {
		return record{}, false
	}
	return t.get(id)
}

// SetState puts a task into a state without a call, as a person in the portal or a smart
// policy would. It does not count as a completion. It reports false if an ID or the
// state is not valid.
func (s *Sandbox) SetState(profileID, taskID string, state decision.State) bool {
	id, ok := parseTask(profileID, taskID)
	code := slices.Index(states[:], state)
	if !ok || code < 0 {
		return false
	}
	s.tasks.update(id, incomplete, func(r *record) { r.state = stateCode(code) })
	return true
}
