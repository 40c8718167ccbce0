package processor

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// TestNextCallGoesAtOnce when the only worker becomes free, however its call ended, and
// when a pause ends; not when the dispatcher looks again by itself.
func TestNextCallGoesAtOnce(t *testing.T) {
	const took = 10 * time.Millisecond
	for name, end := range map[string]func() error{
		"completed": func() error { return nil },
		string(decision.RetryServerError): func() error {
			return &passfort.Error{Operation: passfort.OpComplete, Kind: passfort.KindServer, Status: 503}
		},
		string(decision.RetryPanic): func() error { panic("here") },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				var called []time.Time
				s.fails = func(string, string) error {
					called = append(called, time.Now())
					time.Sleep(took)
					if len(called) == 1 {
						return end()
					}
					return nil
				}
				s.p.Pause(decision.PausedKafka, true)
				s.submit(decisionOn(0, ""), decisionOn(1, ""))
				time.Sleep(time.Second / 3)
				s.p.Pause(decision.PausedKafka, false)
				ended := time.Now()
				s.await(2)
				if first, second := called[0].Sub(ended), called[1].Sub(ended); first != 0 || second != took {
					t.Errorf("the calls went after %v and %v, want 0 and %v", first, second, took)
				}
				for _, cause := range decision.RetryCauses {
					if n := testutil.ToFloat64(s.metrics.Retries.WithLabelValues(string(cause))); (n == 1) != (string(cause) == name) {
						t.Errorf("%v retries for %s", n, cause)
					}
				}
			}, func(o *Options) { o.Workers = 1 })
		})
	}
}
