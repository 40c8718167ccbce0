package processor

import (
	"testing"
	"time"

	"verdict/internal/decision"
)

// TestADrainForgetsTheProfilesOfResultsWhosePublishingPanicked: what it takes out
// of the queue may have a result that was held.
func TestADrainForgetsTheProfilesOfResultsWhosePublishingPanicked(t *testing.T) {
	onStage(t, func(s *stage) {
		s.onPublish = func(decision.Record) error { panic("publish") }
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(5 * time.Minute) // onStage drains, and looks at what is left
	}, func(o *Options) { o.ProfileOutcome = true })
}

// TestAPanicWhileAResultBeginsToBeHeldHoldsItOnce has the claim panic in between.
func TestAPanicWhileAResultBeginsToBeHeldHoldsItOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		first := true
		s.onAttempted = func() {
			if first {
				first = false
				panic("attempted")
			}
		}
		s.submit(decisionOn(0, ""))
		s.await(1)
		time.Sleep(5 * time.Minute)
		s.wantEnd("0", "results")
		s.wantSettled(1)
	}, func(o *Options) { o.ProfileOutcome = true })
}
