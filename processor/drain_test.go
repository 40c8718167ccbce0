package processor

import (
	"context"
	"errors"
	"testing"
	"time"

	"verdict/internal/decision"
)

// TestSubmitTakesNoRecordAfterDrain: a fetch loop may be on its way
// into Submit when its generation ends.
func TestSubmitTakesNoRecordAfterDrain(t *testing.T) {
	onStage(t, func(s *stage) {
		s.submit(decisionOn(0, ""))
		s.await(1)
		fetching, stop := context.WithCancel(s.t.Context())
		stop()
		s.p.Drain(s.t.Context(), []Claim{s})
		rec := decision.Record{Topic: "decisions", Offset: 1, Key: []byte("1"), Value: []byte(decisionOn(1, ""))}
		if err := s.p.Submit(fetching, decision.Live, s, rec, decision.Progress{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Submit said %v", err)
		}
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.calls) != 1 || len(s.p.m.claims) != 0 {
			t.Errorf("calls %v, %d claims", s.calls, len(s.p.m.claims))
		}
	})
}
