package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

func TestLastMinuteForgetsByTheSecond(t *testing.T) {
	var m lastMinute
	at := func(seconds int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(seconds) * time.Second) }
	want := func(seconds, n int) {
		t.Helper()
		if got := m.count(at(seconds)); got != n {
			t.Errorf("at %ds: %d, want %d", seconds, got, n)
		}
	}
	want(0, 0)
	m.add(at(0))
	m.add(at(0))
	m.add(at(59))
	want(59, 3)
	want(60, 1)
	m.add(at(60)) // in the place of the first second
	want(60, 2)
	want(118, 2)
	want(119, 1)
	want(120, 0)
	want(10, 0) // the clock was set back
}

func TestCallsPerSecondBeginWithTheService(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	c := callCounter{began: began}
	for i := range 600 {
		c.add(began.Add(time.Duration(i) * 100 * time.Millisecond)) // ten a second
	}
	for after, want := range map[time.Duration]float64{
		30 * time.Second: 10, time.Minute: 590.0 / 60, 90 * time.Second: 290.0 / 60, 3 * time.Minute: 0,
	} {
		if got := c.perSecond(began.Add(after)); got < want-0.4 || got > want+0.4 {
			t.Errorf("after %v: %v calls a second, want about %v", after, got, want)
		}
	}
}

// give hands one live decision over, on a partition of its own, with a record of this
// age.
func (s *stage) give(value string, age time.Duration) {
	s.t.Helper()
	claim := s.claim(len(s.others) + 1)
	rec := decision.Record{Topic: "decisions", Partition: len(s.others), Value: []byte(value), Time: time.Now().Add(-age)}
	if err := s.p.Submit(s.t.Context(), decision.Live, claim, rec, decision.Progress{}); err != nil {
		s.t.Error(err)
	}
}

func TestStatusSaysWhatTheOldestDecisionWaitsFor(t *testing.T) {
	slow := func(operation string) func(string, string) {
		return func(op, _ string) {
			if op == operation {
				time.Sleep(10 * time.Second)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(s *stage)
		want    Oldest
		change  func(o *Options)
	}{
		"call": {func(s *stage) {
			s.onCall = slow("complete")
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitCall}, nil},
		"retry": {func(s *stage) {
			s.fails = func(string, string) error { return &passfort.Error{Kind: passfort.KindServer, Status: 503} }
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitRetry, Attempts: 1, Cause: decision.RetryServerError}, func(o *Options) {
			o.BackoffMin, o.BackoffMax = 24*time.Hour, 24*time.Hour
		}},
		"storage": {func(s *stage) {
			s.onPublish = func(decision.Record) error { time.Sleep(10 * time.Second); return nil }
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitStorage, Attempts: 1}, nil},
		"storage of an invalid one": {func(s *stage) {
			s.onPublish = func(decision.Record) error { time.Sleep(10 * time.Second); return nil }
			go s.give(`{}`, 0)
		}, Oldest{Wait: WaitStorage}, nil},
		"task": {func(s *stage) {
			s.onCall = slow("complete")
			s.give(decisionOn(0, ""), 0)
			s.give(decisionOn(0, ""), time.Minute)
		}, Oldest{Wait: WaitTask}, nil},
		"lookup": {func(s *stage) {
			s.onCall = slow("list")
			s.give(byAlias(1, "a", ""), 0)
			time.Sleep(time.Second)
			s.give(onProfile(1, 1, ""), time.Minute)
		}, Oldest{Wait: WaitLookup}, nil},
		"turn": {func(s *stage) {
			s.p.Assigned(0, 1)
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitTurn}, func(o *Options) { o.GroupRate = true }},
		"pause": {func(s *stage) {
			s.p.Pause(decision.PausedKafka, true)
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitPause}, nil},
		"reading": {func(s *stage) { go s.give(decisionOn(0, ""), 0) }, Oldest{Wait: WaitReading}, func(o *Options) {
			decode := o.Decode
			o.Decode = func(ctx context.Context, rec *decision.Record) (decision.Decision, error) {
				time.Sleep(10 * time.Second)
				return decode(ctx, rec)
			}
		}},
		"review": {func(s *stage) {
			s.onCall = slow("list")
			s.give(decisionOn(0, ""), 0)
		}, Oldest{Wait: WaitReview, Attempts: 1}, func(o *Options) { o.ProfileOutcome = true }},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*Options) {}
			}
			onStage(t, func(s *stage) {
				c.prepare(s)
				time.Sleep(time.Second)
				synctest.Wait()
				now := time.Now()
				lane := s.p.Status(now).Lanes[decision.Live]
				if lane.Oldest == nil {
					s.t.Fatal("nothing is pending")
				}
				got := *lane.Oldest
				if got.Wait != c.want.Wait || got.Attempts != c.want.Attempts || got.Cause != c.want.Cause {
					s.t.Errorf("it waits for %s after %d attempts (%s), want %s after %d (%s)",
						got.Wait, got.Attempts, got.Cause, c.want.Wait, c.want.Attempts, c.want.Cause)
				}
				if waits := got.Wait == WaitRetry; waits != got.Due.After(now) {
					s.t.Errorf("%s is due in %v", got.Wait, got.Due.Sub(now))
				}
				if got.Origin.Topic != "decisions" || (got.DecisionID == "") != (got.Wait == WaitReading || name == "storage of an invalid one") {
					s.t.Errorf("it is %q from %v", got.DecisionID, got.Origin)
				}
				s.p.Pause(decision.PausedKafka, false)
				s.p.Assigned(1, 1)
				time.Sleep(time.Minute)
			}, change)
		})
	}
}

func TestStatusCountsPausesCallsAndLetters(t *testing.T) {
	onStage(t, func(s *stage) {
		began := time.Now()
		s.p.Pause(decision.PausedKafka, true)
		s.p.owner.mu.Lock()
		s.p.m.pauses.setLane(decision.Backfill, decision.LanePausedHeld, true)
		s.p.owner.mu.Unlock()
		time.Sleep(time.Second)
		s.p.Pause(decision.PausedKafka, true) // again
		got := s.p.Status(time.Now())
		if len(got.Pauses) != 1 || got.Pauses[0] != (Pause{decision.PausedKafka, began}) {
			t.Errorf("pauses %v", got.Pauses)
		}
		if l := got.Lanes[decision.Backfill].Pauses; len(l) != 1 || l[0] != (LanePause{decision.LanePausedHeld, began}) || len(got.Lanes[decision.Live].Pauses) != 0 {
			t.Errorf("pauses of backfill %v, of live %v", l, got.Lanes[decision.Live].Pauses)
		}
		pending := s.metrics.Pending.WithLabelValues(decision.Live.String())
		s.submit(decisionOn(0, ""), decisionOn(1, ""))
		if n := testutil.ToFloat64(pending); n != 2 {
			t.Errorf("%v decisions are pending in a pause, want 2", n)
		}
		s.p.Pause(decision.PausedKafka, false)
		s.p.owner.mu.Lock()
		s.p.m.pauses.setLane(decision.Backfill, decision.LanePausedHeld, false)
		s.p.owner.mu.Unlock()
		s.submit(`{}`, `{}`)
		s.await(4)
		if n := testutil.ToFloat64(pending); n != 0 {
			t.Errorf("%v decisions are pending at the end", n)
		}
		got = s.p.Status(began.Add(10 * time.Second))
		if len(got.Pauses)+len(got.Lanes[decision.Backfill].Pauses) != 0 {
			t.Errorf("pauses %v, of backfill %v", got.Pauses, got.Lanes[decision.Backfill].Pauses)
		}
		if got.DeadLetters != 2 || got.RateUsed != 0.3 /* whoami too */ || got.Lanes[decision.Live].Oldest != nil || got.InFlight != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestStatusOfFailingDecisionsIsNoRace asks again and again while calls fail and the
// code around them panics; the race detector checks it.
func TestStatusOfFailingDecisionsIsNoRace(t *testing.T) {
	onStage(t, func(s *stage) {
		n := 0
		s.fails = func(string, string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch n++; n % 3 {
			case 0:
				return errors.New("cut")
			case 1:
				panic("call")
			}
			return nil
		}
		s.onPublish = func(decision.Record) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if n++; n%4 == 0 {
				panic("publish")
			}
			return nil
		}
		ctx, cancel := context.WithCancel(s.t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			for ctx.Err() == nil {
				s.p.Status(time.Now())
				time.Sleep(time.Millisecond)
			}
		})
		for i := range 40 {
			s.give(decisionOn(i, fmt.Sprintf(`,"id":"d-%d"`, i)), 0)
		}
		time.Sleep(10 * time.Second)
		cancel()
		asking.Wait()
		time.Sleep(10 * time.Minute)
	})
}
