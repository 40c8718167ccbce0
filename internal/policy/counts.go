package policy

import (
	"fmt"
	"slices"
	"time"

	"verdict/internal/decision"
)

// Counts are the counts of one partition of check results. A task goes through
//
//	                 a pass, or the last fail that it takes
//	open (counts) ──────────────────────────────────────────► decided
//	      ▲                                                      │
//	      └──────────── the next result, with reopen ────────────┘
//
// Counts are pure: no goroutine, no clock, no Kafka. The caller publishes what
// changed (Changes) before it settles the results, and drops Counts whose changes
// could not be published.
type Counts struct {
	set   Set
	tasks map[string]*state // by Task.key
	dirty []string          // keys of the states to be written, each once
	// forgotten holds the keys of states that are no longer in tasks and whose
	// records are still to be deleted.
	forgotten []string
	// unreadable holds the states that were restored and can't be read.
	unreadable map[string]error
}

// NewCounts returns empty Counts.
func NewCounts(set Set) *Counts {
	return &Counts{set: set, tasks: make(map[string]*state)}
}

// Tasks returns the number of tasks that have counts.
func (c *Counts) Tasks() int { return len(c.tasks) }

// Apply counts a check for one of its tasks, and returns what it did and, with
// EffectDecided, the decision. The results of a task must come in their order.
func (c *Counts) Apply(check *Check, task *Task, now time.Time) (decision.CheckEffect, *Decision) {
	p := c.set.match(task)
	if p == nil {
		return decision.EffectUnmatched, nil
	}
	key := task.key()
	s := c.tasks[key]
	switch {
	case s != nil && slices.Contains(s.checks, check.ID):
		return decision.EffectDuplicate, nil
	case s != nil && s.decided != "" && !p.reopen:
		return decision.EffectAlreadyDecided, nil
	}
	switch p.meaningOf(check.Result) {
	case passes:
		s = c.change(key, check.ID, now)
		return decision.EffectDecided, decide(s, check, task, decision.CompletedPass, 1)
	case fails:
		s = c.change(key, check.ID, now)
		s.run++
		if s.run < p.times {
			return decision.EffectCounted, nil
		}
		return decision.EffectDecided, decide(s, check, task, decision.CompletedFail, s.run)
	case inNoList:
		if !p.consecutive {
			break
		}
		// Remembered even if there was no run: if it were delivered again after the
		// next fail, it would end that run.
		s = c.change(key, check.ID, now)
		if s.run > 0 {
			s.run = 0
			return decision.EffectReset, nil
		}
	case ignored:
	}
	return decision.EffectIgnored, nil
}

// change returns the state of a task that a check is about to change.
func (c *Counts) change(key, check string, now time.Time) *state {
	s := c.tasks[key]
	if s == nil {
		s = &state{}
		c.tasks[key] = s
	}
	s.add(check, now)
	c.markDirty(key, s)
	return s
}

func (c *Counts) markDirty(key string, s *state) {
	if !s.dirty {
		s.dirty = true
		c.dirty = append(c.dirty, key)
	}
}

// decide makes a decision of the last n checks.
func decide(s *state, check *Check, task *Task, want decision.State, n int) *Decision {
	checks := slices.Clone(s.checks[len(s.checks)-n:])
	s.run, s.decided, s.decisionID = 0, want, decisionID(task, want, checks)
	return &Decision{ID: s.decisionID, Task: *task, State: want, Checks: checks, At: check.At}
}

// Expire forgets the tasks whose counts have not changed for ForgetAfter.
func (c *Counts) Expire(now time.Time) {
	if c.set.ForgetAfter == 0 {
		return
	}
	for key, s := range c.tasks {
		if !s.dirty && now.Sub(s.changed) > c.set.ForgetAfter {
			delete(c.tasks, key)
			c.forgotten = append(c.forgotten, key)
		}
	}
}

// Change is a record to be written to the state topic: the state of a task, or a
// tombstone (nil Value) for a task that no longer has one.
type Change struct {
	Key, Value []byte
}

// Changes returns what has changed since the last call, in an order in which it
// may be written. It does not return a change twice: the caller writes it, or
// drops the Counts.
func (c *Counts) Changes() ([]Change, error) {
	changes := make([]Change, 0, len(c.forgotten)+len(c.dirty))
	for _, key := range c.forgotten {
		if c.tasks[key] == nil { // otherwise the new state replaces the old record
			changes = append(changes, Change{Key: []byte(key)})
		}
	}
	for _, key := range c.dirty {
		s := c.tasks[key]
		if s == nil {
			continue // Restore found a tombstone after it
		}
		value, err := s.encode()
		if err != nil {
			return nil, fmt.Errorf("encode the counts of %s: %w", key, err)
		}
		s.dirty = false
		changes = append(changes, Change{Key: []byte(key), Value: value})
	}
	c.forgotten, c.dirty = nil, nil
	return changes, nil
}

// Restore reads a record of the state topic. It is called in the order of the log,
// before the first Apply. Of two states of a task the one with the higher number
// wins, whatever their order: an instance that had lost the partition may have
// written late. A state that wins over a later record is written again, since
// compaction would keep the later one.
func (c *Counts) Restore(key, value []byte) {
	k := string(key)
	if value == nil {
		delete(c.tasks, k)
		delete(c.unreadable, k)
		return
	}
	s, err := decodeState(value)
	if err != nil {
		if c.unreadable == nil {
			c.unreadable = make(map[string]error)
		}
		c.unreadable[k] = err
		return
	}
	known := c.tasks[k]
	switch {
	case known != nil && known.seq > s.seq:
		c.markDirty(k, known)
		return
	case known != nil:
		s.dirty = known.dirty // its key is in c.dirty already
	}
	c.tasks[k] = s
}

// Restored returns, after the last Restore, an error if a state can't be read. A
// tombstone after the state makes Counts forget it.
func (c *Counts) Restored() error {
	for key, err := range c.unreadable {
		return fmt.Errorf("can't read the counts of %s (one of %d unreadable tasks): %w; a newer Verdict may have written them; to forget them, write a record with this key and no value",
			decision.OneLine(key, 200), len(c.unreadable), err)
	}
	return nil
}

// WriteAgain marks the state of a key to be written again, because another writer's
// record of it was found after ours. A key without counts is left alone: either its
// results are still to come, or it is too old to be restored.
func (c *Counts) WriteAgain(key []byte) {
	if s := c.tasks[string(key)]; s != nil {
		c.markDirty(string(key), s)
	}
}
