package processor

import (
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// TestRefusalForAnotherReasonNeedsEvidenceOfItsOwn has a task be not found, and then the
// key be refused: what was known of the API in between says nothing about the key.
func TestRefusalForAnotherReasonNeedsEvidenceOfItsOwn(t *testing.T) {
	onStage(t, func(s *stage) {
		calls := 0
		s.fails = func(op, _ string) error {
			if op != "complete" {
				return nil
			}
			if calls++; calls == 1 {
				return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindNotFound, Status: 404}
			}
			return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindKey, Status: 403}
		}
		s.submit(decisionOn(0, ""))
		s.await(1)
		letter, err := decision.ParseDeadLetter(&s.published[0])
		if err != nil || letter.Reason != decision.Forbidden || letter.Attempts != 3 {
			t.Errorf("dead letter %s after %d attempts, %v; want forbidden after 3", letter.Reason, letter.Attempts, err)
		}
	}, func(o *Options) { o.MaxAttempts = 1 })
}
