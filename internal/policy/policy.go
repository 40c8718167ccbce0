// Package policy makes decisions from check results: it counts, task by task,
// what the checks came to, and decides where a policy says so.
//
// Its core is pure: policies read from a file (Parse), check results read from
// records (Decode), and the counts of one partition (Ledger), without goroutine,
// clock or Kafka. Decider runs it: counts restored from a compacted topic,
// decisions and counts published before a result is settled. Reading the input
// as a member of a group is left to package consumer, carrying the decisions out
// to `verdict run`.
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
	MaxPolicies = 1000
	// MaxTimes is the largest number of fails that a policy may ask for. It is
	// below what a task's count remembers (maxChecks).
	MaxTimes = 32
	// MinForgetAfter keeps counts from being forgotten while a partition moves.
	MinForgetAfter = time.Hour
)

// Set is the policies of one file.
type Set struct {
	// ForgetAfter is how long a task's counts are kept without a change; 0:
	// for ever.
	ForgetAfter time.Duration
	policies    []policy
}

// policy is what is done with the check results of the tasks that it matches.
// Where a result is in none of its lists it decides nothing, and ends a run of
// consecutive fails.
type policy struct {
	taskType, alias string // empty: any

	pass, fail, ignore []decision.CheckResult
	times              int  // fails that it takes
	consecutive        bool // in a row
	reopen             bool // a decided task is counted anew
}

// DefaultForgetAfter is the ForgetAfter of a file that does not say.
const DefaultForgetAfter = 90 * 24 * time.Hour

//go:embed default.yaml
var defaultFile []byte

// Default is the policies where no file is given: those that the API's own page
// has as its example, pass on PASS and fail on the third FAIL, for all tasks.
func Default() Set {
	set, faults := Parse("default.yaml", defaultFile)
	if len(faults) > 0 {
		panic(fmt.Sprintf("policy: the default: %v", faults))
	}
	return set
}

// DefaultFile is the file of Default, to show and to begin from.
func DefaultFile() string { return string(defaultFile) }

// match is the first policy that is for the task, or nil. One for a type or an
// alias is not for a task of which that is not known.
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

// covers says whether p matches every task that q matches.
func (p *policy) covers(q *policy) bool {
	return (p.taskType == "" || p.taskType == q.taskType) && (p.alias == "" || p.alias == q.alias)
}

// meaning is what a check result is to a policy.
type meaning uint8

const (
	nothing meaning = iota // in no list
	passes
	fails
	ignored
)

func (p *policy) meaning(r decision.CheckResult) meaning {
	switch {
	case slices.Contains(p.pass, r):
		return passes
	case slices.Contains(p.fail, r):
		return fails
	case slices.Contains(p.ignore, r):
		return ignored
	}
	return nothing
}
