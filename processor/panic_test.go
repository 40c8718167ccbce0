package processor

import (
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

func TestPanicInACallCostsItsDecisionOneAttempt(t *testing.T) {
	onStage(t, func(s *stage) {
		times := 0
		s.onCall = func(_, task string) {
			if task == taskID(0) && times == 0 {
				times++
				panic("on the way to the API")
			}
		}
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(time.Minute)
		s.wantEnd("0", "results")
		s.wantEnd("1", "results")
		s.wantSettled(2)
		s.wantStack()
	})
}

func TestDecisionThatAlwaysPanicsIsDeadLettered(t *testing.T) {
	for name, prepare := range map[string]func(s *stage){
		"in the call": func(s *stage) {
			s.onCall = func(_, task string) {
				if task == taskID(0) {
					panic("call")
				}
			}
		},
		"while its result is published": func(s *stage) {
			s.onPublish = func(rec decision.Record) error {
				if rec.Topic == "results" && string(rec.Key) == "0" {
					panic("publish")
				}
				return nil
			}
		},
		"after its result was too large": func(s *stage) {
			refused := false
			s.onPublish = func(rec decision.Record) error {
				switch {
				case rec.Topic != "results" || string(rec.Key) != "0":
					return nil
				case !refused:
					refused = true
					return decision.ErrTooLarge
				}
				panic("publish the smaller one")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				prepare(s)
				s.submit(decisionOn(0, ""), decisionOn(1, ""))
				time.Sleep(5 * time.Minute)
				s.wantEnd("0", "dead retries_exhausted")
				s.wantEnd("1", "results")
				s.wantSettled(2)
				s.wantStack()
			})
		})
	}
}

func TestPanicWithoutACallCostsOnlyItsDecision(t *testing.T) {
	for name, value := range map[string]string{
		"invalid": `{"state":`,
		"expired": decisionOn(0, `,"expires_at":"1999-01-01T00:00:00Z"`),
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				times := 0
				s.onPublish = func(rec decision.Record) error {
					if times < 2 && string(rec.Key) == "0" {
						times++
						panic("publish")
					}
					return nil
				}
				s.submit(value, decisionOn(1, ""))
				time.Sleep(5 * time.Minute)
				want := map[string]string{"invalid": "dead invalid_event", "expired": "dead expired"}[name]
				s.wantEnd("0", want)
				s.wantEnd("1", "results")
				s.wantSettled(2)
				s.wantStack()
			})
		})
	}
}

func TestPanickingDeadLetterIsRetriedSlowly(t *testing.T) {
	for name, value := range map[string]string{"decision": decisionOn(0, ""), "invalid": "{", "expired": decisionOn(0, `,"expires_at":"1999-01-01T00:00:00Z"`)} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.onPublish = func(rec decision.Record) error {
					if string(rec.Key) == "0" {
						panic("always")
					}
					return nil
				}
				s.submit(value, decisionOn(1, ""))
				time.Sleep(2 * time.Hour)
				s.wantEnd("1", "results")
				s.wantSettled(1)
				s.mu.Lock()
				asked, calls := 0, 0
				for _, a := range s.asked {
					if strings.HasSuffix(a, " 0") {
						asked++
					}
				}
				for _, c := range s.calls {
					if strings.HasSuffix(c, taskID(0)) {
						calls++
					}
				}
				s.mu.Unlock()
				// Half of a minute on average; and no call beyond the attempts.
				if asked < 60 || asked > 600 {
					t.Errorf("asked to publish %d times in two hours", asked)
				}
				if calls > 6 {
					t.Errorf("%d calls for a decision of 3 attempts", calls)
				}
			})
		})
	}
}

func TestPanicAfterTheAcknowledgementPublishesOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		times := 0
		s.onSettle = func(offset int64) {
			if offset == 0 && times < 5 {
				times++
				panic("settle")
			}
		}
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		time.Sleep(10 * time.Minute)
		s.wantEnd("0", "results")
		s.wantEnd("1", "results")
		s.wantSettled(2)
		s.wantStack()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.calls) != 2 {
			t.Errorf("calls %v, want one for each decision", s.calls)
		}
	})
}
