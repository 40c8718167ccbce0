// Package policy makes decisions from check results: it counts the results of each
// task, and decides when a policy says so.
//
// Its core is pure and has no goroutine, clock or Kafka: policies read from a file
// (Parse), check results read from records (Decode), and the counts of one
// partition (Counts). Decider runs that core: it restores counts from a compacted
// topic, and publishes decisions and counts before it settles a result. Reading
// the input as a member of a group is left to package consumer, and carrying out
// the decisions to `verdict run`.
//
// Decider stands where `verdict run` has a processor. The results of a partition
// are counted by one worker, in order, since each count depends on the one before.
// The comment of worker gives the order of its steps and why it may end after any
// of them; this relies on the ID of a decision being a function of its checks.
//
// Counts are written by Connection.Append and not by the Publisher, which would
// keep trying after the partition is lost; what it stored then would come after the
// records of the next owner. Counts that nevertheless arrive late are recognised by
// the number in each state and by the offsets, which have no gaps while there is
// one writer. Kafka's transactions would fence a late writer, but kafka-go can't
// produce in them.
package policy

import (
	_ "embed" // for the default policies
	"fmt"
	"slices"
	"time"

	"verdict/internal/decision"
)

// Bounds of a policy file.
const (
	MaxFile     = 256 << 10 // bytes
	maxPolicies = 1000
	// maxTimes is the largest number of fails that a policy may require. It is
	// below the number of checks that a task's counts remember (maxChecks).
	maxTimes = 32
	// minForgetAfter keeps counts from being forgotten while a partition moves to
	// another instance.
	minForgetAfter = time.Hour
)

// Set holds the policies of one file.
type Set struct {
	// ForgetAfter is how long a task's counts are kept without a change; 0: they
	// are never forgotten.
	ForgetAfter time.Duration
	policies    []policy
}

// policy says what check results do to the tasks that it matches. A result in none
// of its lists decides nothing, and ends a run of consecutive fails.
type policy struct {
	taskType, alias string // empty: any

	pass, fail, ignore []decision.CheckResult
	times              int  // fails that decide
	consecutive        bool // the fails must be in a row
	reopen             bool // after a decision, counting starts again
}

// defaultForgetAfter is the ForgetAfter of a file without forget_after.
const defaultForgetAfter = 90 * 24 * time.Hour

//go:embed default.yaml
var defaultFile []byte

// Default returns the policies used without a file, which are the example of the
// API's own documentation: pass on PASS and fail on the third FAIL, for all tasks.
func Default() Set {
	set, faults := Parse("default.yaml", defaultFile)
	if len(faults) > 0 {
		panic(fmt.Sprintf("policy: default.yaml: %v", faults))
	}
	return set
}

// DefaultFile returns the policy file of Default.
func DefaultFile() string { return string(defaultFile) }

// match returns the first policy that matches the task, or nil. A policy for a type
// or an alias does not match a task whose type or alias is not known.
func (s *Set) match(t *Task) *policy {
	for i := range s.policies {
		if p := &s.policies[i]; p.matches(t) {
			return p
		}
	}
	return nil
}

func (p *policy) matches(t *Task) bool {
	return (p.taskType == "" || p.taskType == t.Type) && (p.alias == "" || p.alias == t.Alias)
}

// covers reports whether p matches every task that q matches.
func (p *policy) covers(q *policy) bool {
	return (p.taskType == "" || p.taskType == q.taskType) && (p.alias == "" || p.alias == q.alias)
}

// meaning is what a check result means to a policy.
type meaning uint8

const (
	inNoList meaning = iota
	passes
	fails
	ignored
)

func (p *policy) meaningOf(r decision.CheckResult) meaning {
	switch {
	case slices.Contains(p.pass, r):
		return passes
	case slices.Contains(p.fail, r):
		return fails
	case slices.Contains(p.ignore, r):
		return ignored
	}
	return inNoList
}

// resultNames returns every check result as a string.
func resultNames() []string {
	all := make([]string, len(decision.CheckResults))
	for i, r := range decision.CheckResults {
		all[i] = string(r)
	}
	return all
}
