package profile

import (
	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Outcome sums up the tasks of a profile. Expired and skipped tasks do not
// count. A task in an unknown state counts as open, so that the profile is
// not taken for passed.
func Outcome(tasks []passfort.Task) *decision.Profile {
	var out decision.Profile
	passed := false
	for i := range tasks {
		switch t := &tasks[i]; {
		case t.IsExpired || t.IsSkipped:
		case t.State == decision.CompletedPass:
			passed = true
		case t.State == decision.CompletedFail:
			out.FailedTasks++
		default:
			out.OpenTasks++
		}
	}
	switch {
	case out.FailedTasks > 0:
		out.Outcome = decision.SomeFailed
	case out.OpenTasks > 0 || !passed:
		out.Outcome = decision.Open
	default:
		out.Outcome = decision.AllPassed
	}
	return &out
}
