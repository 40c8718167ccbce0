package processor

import (
	"fmt"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// TestExpiredDecisionsDoNotDelayProbes: those that need no call
// are ended on the way to the next that needs one, and are no probes.
func TestExpiredDecisionsDoNotDelayProbes(t *testing.T) {
	onStage(t, func(s *stage) {
		began := time.Now()
		over := began.Add(2 * time.Minute)
		s.fails = func(string, string) error {
			if time.Now().Before(over) {
				return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
			}
			return nil
		}
		expires := fmt.Sprintf(`,"expires_at":%q`, began.Add(time.Minute).UTC().Format(time.RFC3339))
		var values []string
		for i := range 200 {
			values = append(values, decisionOn(i, expires))
		}
		values = append(values, decisionOn(200, ""))
		s.submit(values...)
		time.Sleep(time.Until(over))
		s.await(len(values))
		if took := time.Since(over); took > 30*time.Second {
			t.Errorf("the last was settled %v after the outage", took)
		}
		s.wantEnd("200", "results")
	}, func(o *Options) { o.BackoffMax = time.Second })
}

// TestOutageHoldsCallsWaitingForTheirSecondToken: they looked at their task
// while the API was well, and would complete it when it is not.
func TestOutageHoldsCallsWaitingForTheirSecondToken(t *testing.T) {
	onStage(t, func(s *stage) {
		failing := true
		s.fails = func(op, _ string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if op == "complete" && failing {
				return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
			}
			return nil
		}
		var values []string
		for i := range 40 {
			values = append(values, decisionOn(i, ""))
		}
		s.submit(values...)
		for !s.p.Paused(decision.PausedOutage) {
			time.Sleep(10 * time.Millisecond)
		}
		s.mu.Lock()
		before := len(s.calls)
		s.mu.Unlock()
		time.Sleep(900 * time.Millisecond)
		s.mu.Lock()
		if during := s.calls[before:]; len(during) > 2 { // those of a probe, when whoami is good
			t.Errorf("in the first second of the outage these calls were made: %q", during)
		}
		failing = false
		s.mu.Unlock()
		s.await(len(values))
	}, func(o *Options) { o.Preflight, o.Workers, o.RateLimit, o.Burst = decision.PreflightAlways, 32, 20, 1 })
}
