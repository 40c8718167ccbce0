package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"verdict/internal/decision"
)

// Ledger is the counts of one partition of check results. A task goes through
//
//	                 PASS, or the last FAIL that it takes
//	open (counts) ──────────────────────────────────────► decided
//	      ▲                                                  │
//	      └────────── the next result, with reopen ──────────┘
//
// It is pure: no goroutine, no clock, no Kafka. What it changed is to be
// published (Changes) before the results are settled; a Ledger whose changes
// could not be published is to be thrown away.
type Ledger struct {
	set   Set
	tasks map[string]*state // by Task.key
	dirty []string          // keys of states to be written, each once
	// gone are the keys of states that were forgotten and whose records are
	// still to be.
	gone []string
	// unreadable are states that were restored and can't be read.
	unreadable map[string]error
}

// NewLedger is a Ledger without counts.
func NewLedger(set Set) *Ledger {
	return &Ledger{set: set, tasks: make(map[string]*state)}
}

// Tasks is how many tasks have counts.
func (l *Ledger) Tasks() int { return len(l.tasks) }

// Outcome is what a check result did to one task.
type Outcome struct {
	Effect   decision.CheckEffect
	Decision *Decision // of EffectDecided
}

// Decision is what a policy decided.
type Decision struct {
	// ID is made from the task, the state and the checks that led to it, and
	// from nothing else: who reads the same results again, with the same
	// policy or another, decides under the same ID.
	ID     string
	Task   Task
	State  decision.State
	Checks []string // that led to it, oldest first
	At     time.Time
}

// Apply counts a check for one of its tasks. The results of a task must come in
// their order.
func (l *Ledger) Apply(c *Check, task *Task, now time.Time) Outcome {
	p := l.set.match(task)
	if p == nil {
		return Outcome{Effect: decision.EffectUnmatched}
	}
	key := task.key()
	s := l.tasks[key]
	switch {
	case s != nil && slices.Contains(s.checks, c.ID):
		return Outcome{Effect: decision.EffectDuplicate}
	case s != nil && s.decided != "" && !p.reopen:
		return Outcome{Effect: decision.EffectAlreadyDecided}
	}
	switch p.meaning(c.Result) {
	case passes:
		s = l.change(key, c.ID, now)
		return l.decide(s, c, task, decision.CompletedPass, 1)
	case fails:
		s = l.change(key, c.ID, now)
		s.run++
		if s.run < p.times {
			return Outcome{Effect: decision.EffectCounted}
		}
		return l.decide(s, c, task, decision.CompletedFail, s.run)
	case nothing:
		if !p.consecutive {
			break
		}
		// Remembered also where there was no run: delivered again after the
		// next fail, it would end that one's.
		s = l.change(key, c.ID, now)
		if s.run > 0 {
			s.run = 0
			return Outcome{Effect: decision.EffectReset}
		}
	case ignored:
	}
	return Outcome{Effect: decision.EffectIgnored}
}

// change is the state of a task, about to be changed by a check.
func (l *Ledger) change(key, check string, now time.Time) *state {
	s := l.tasks[key]
	if s == nil {
		s = &state{}
		l.tasks[key] = s
	}
	s.add(check, now)
	l.write(key, s)
	return s
}

// write notes that a state is to be written.
func (l *Ledger) write(key string, s *state) {
	if !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, key)
	}
}

// decide decides by the last n checks.
func (l *Ledger) decide(s *state, c *Check, task *Task, want decision.State, n int) Outcome {
	checks := slices.Clone(s.checks[len(s.checks)-n:])
	s.run, s.decided, s.decisionID = 0, want, decisionID(task, want, checks)
	return Outcome{Effect: decision.EffectDecided, Decision: &Decision{
		ID: s.decisionID, Task: *task, State: want, Checks: checks, At: c.At,
	}}
}

// decisionID hashes what led to a decision. No part holds a line end, which
// keeps them apart.
func decisionID(task *Task, want decision.State, checks []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{task.key(), string(want)}, checks...), "\n")))
	return "policy-" + hex.EncodeToString(sum[:16])
}

// Expire forgets the tasks whose counts have not changed for ForgetAfter.
func (l *Ledger) Expire(now time.Time) {
	if l.set.ForgetAfter == 0 {
		return
	}
	for key, s := range l.tasks {
		if !s.dirty && now.Sub(s.changed) > l.set.ForgetAfter {
			delete(l.tasks, key)
			l.gone = append(l.gone, key)
		}
	}
}

// Change is a record of the state topic to be written: the state of a task, or,
// with a nil Value, that it has none any more.
type Change struct {
	Key, Value []byte
}

// Changes is what has changed since the call before, in an order in which it
// may be written. It is forgotten here: the caller writes it, or ends the Ledger.
func (l *Ledger) Changes() ([]Change, error) {
	changes := make([]Change, 0, len(l.gone)+len(l.dirty))
	for _, key := range l.gone {
		if l.tasks[key] == nil { // else the state that came after says it
			changes = append(changes, Change{Key: []byte(key)})
		}
	}
	for _, key := range l.dirty {
		s := l.tasks[key]
		if s == nil {
			continue // a tombstone came behind it while it was restored
		}
		value, err := s.encode()
		if err != nil {
			return nil, fmt.Errorf("encode the state of %s: %w", key, err)
		}
		s.dirty = false
		changes = append(changes, Change{Key: []byte(key), Value: value})
	}
	l.gone, l.dirty = nil, nil
	return changes, nil
}

// Restore takes a record of the state topic, in the order of the log, before the
// first Apply. Of two states of a task the one with the higher number stays,
// wherever they stand: an instance that had lost the partition may have written
// late. What stays so is written again, since compaction would keep the late one.
func (l *Ledger) Restore(key, value []byte) {
	k := string(key)
	if value == nil {
		delete(l.tasks, k)
		delete(l.unreadable, k)
		return
	}
	s, err := decodeState(value)
	if err != nil {
		if l.unreadable == nil {
			l.unreadable = make(map[string]error)
		}
		l.unreadable[k] = err
		return
	}
	held := l.tasks[k]
	switch {
	case held != nil && held.seq > s.seq:
		l.write(k, held)
		return
	case held != nil:
		s.dirty = held.dirty // whose key is noted already
	}
	l.tasks[k] = s
}

// Restored says, after the last record, whether the counts are known: not if a
// state can't be read and no tombstone came behind it, which forgets it.
func (l *Ledger) Restored() error {
	for key, err := range l.unreadable {
		return fmt.Errorf("the state of %s can't be read (one of %d): %w; a newer Verdict may have written it; a record with its key and no value forgets it",
			decision.OneLine(key, 200), len(l.unreadable), err)
	}
	return nil
}

// Again lets the state of this key be written again, because a record of it that
// is not this Ledger's was found behind its own. A key without counts stays as it
// is: either its results are still to come, or it is too old to be restored.
func (l *Ledger) Again(key []byte) {
	if s := l.tasks[string(key)]; s != nil {
		l.write(string(key), s)
	}
}

// Record is the decision as `verdict run` reads it. Its key is the profile ID, by
// which the decisions of a profile keep their order.
func (d *Decision) Record(topic string) (decision.Record, error) {
	type task struct {
		Alias string `json:"alias,omitempty"`
		Type  string `json:"type,omitempty"`
	}
	value := struct {
		ID        string         `json:"id"`
		ProfileID string         `json:"profile_id"`
		TaskID    string         `json:"task_id,omitempty"`
		Task      *task          `json:"task,omitempty"`
		State     decision.State `json:"state"`
		DecidedAt string         `json:"decided_at,omitempty"`
		Source    string         `json:"source"`
		Reason    string         `json:"reason"`
	}{
		ID: d.ID, ProfileID: d.Task.ProfileID, TaskID: d.Task.TaskID, State: d.State,
		Source: "verdict-decide", Reason: d.Reason(),
	}
	switch {
	case d.Task.TaskID != "":
	case d.Task.Alias != "":
		value.Task = &task{Alias: d.Task.Alias}
	default:
		value.Task = &task{Type: d.Task.Type}
	}
	if !d.At.IsZero() {
		value.DecidedAt = decision.Time{Time: d.At}.String()
	}
	b, err := json.Marshal(value)
	if err != nil {
		return decision.Record{}, fmt.Errorf("encode decision %s: %w", d.ID, err)
	}
	return decision.Record{Topic: topic, Key: []byte(d.Task.ProfileID), Value: b}, nil
}

// Reason says what led to the decision, for people.
func (d *Decision) Reason() string {
	what := "passed by check "
	if d.State == decision.CompletedFail {
		what = "failed by check "
		if n := len(d.Checks); n > 1 {
			what = fmt.Sprintf("failed by %d checks: ", n)
		}
	}
	return decision.OneLine(what+strings.Join(d.Checks, ", "), decision.MaxTextSize)
}
