package processor

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"verdict/internal/decision"
)

// slowStage's Kafka takes a second to acknowledge.
type slowStage struct{ *stage }

func (s slowStage) Publish(_ context.Context, _ decision.Record, done func(error)) error {
	time.AfterFunc(time.Second, func() { done(nil) })
	return nil
}

// TestLiveDoesNotWaitForBackfillAcknowledgements has a Kafka so
// slow that the backfill is held back by what waits to be acknowledged.
func TestLiveDoesNotWaitForBackfillAcknowledgements(t *testing.T) {
	const workers, live = 10, 4 // live decisions at once
	for name, value := range map[string]func(i int) string{
		"carried out":  func(i int) string { return onProfile(i, i, "") },
		"invalid":      func(int) string { return `{"profile":"of the wrong name"}` },
		"expired":      func(i int) string { return onProfile(i, i, `,"expires_at":"1999-01-01T00:00:00Z"`) },
		"of one alias": func(i int) string { return byAlias(i, "a", "") },
	} {
		for _, looks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, looks at profiles %v", name, looks), func(t *testing.T) {
				onStage(t, func(s *stage) {
					var mu sync.Mutex
					called := make(map[string]time.Time)
					s.onCall = func(op, task string) {
						mu.Lock()
						defer mu.Unlock()
						called[task] = time.Now()
					}
					s.p.Assigned(1, 1)
					ctx, cancel := context.WithCancel(s.t.Context())
					var sending sync.WaitGroup
					sending.Go(func() {
						for i := 0; ; i++ {
							rec := decision.Record{Topic: "backfill", Offset: int64(i), Value: []byte(value(i)), Time: time.Now()}
							if s.p.Submit(ctx, decision.Backfill, s, rec, decision.Progress{}) != nil {
								return
							}
						}
					})
					for round := range 6 {
						time.Sleep(1234 * time.Millisecond)
						began := time.Now()
						for i := range live {
							n := 1_000_000 + round*live + i
							rec := decision.Record{Topic: "live", Offset: int64(n), Value: []byte(onProfile(n, n, "")), Time: began}
							if err := s.p.Submit(s.t.Context(), decision.Live, s, rec, decision.Progress{}); err != nil {
								t.Fatal(err)
							}
						}
						time.Sleep(3 * time.Second)
						mu.Lock()
						for i := range live {
							at, ok := called[taskID(1_000_000+round*live+i)]
							if wait := at.Sub(began); !ok || wait > 0 {
								t.Errorf("live decision %d.%d was called for after %v (%v)", round, i, wait, ok)
							}
						}
						mu.Unlock()
					}
					cancel()
					sending.Wait()
				}, func(o *Options) {
					o.Workers, o.ProfileOutcome, o.MaxPending = workers, looks, 1000
					o.Publisher = slowStage{o.Publisher.(*stage)}
				})
			})
		}
	}
}

// TestUnacknowledgedResultsAreBounded by four times the workers, of which backfill leaves a
// tenth; calls that are in flight then may be added.
func TestUnacknowledgedResultsAreBounded(t *testing.T) {
	const workers = 4
	for lane, most := range map[decision.Lane]int{decision.Live: 4 * workers, decision.Backfill: 4*workers - 2} {
		t.Run(lane.String(), func(t *testing.T) {
			onStage(t, func(s *stage) {
				for i := range 40 {
					rec := decision.Record{Topic: "decisions", Offset: int64(i), Value: []byte(onProfile(i, i, "")), Time: time.Now()}
					if err := s.p.Submit(s.t.Context(), lane, s, rec, decision.Progress{}); err != nil {
						t.Fatal(err)
					}
				}
				s.p.Assigned(1, 1)
				time.Sleep(time.Second / 2) // of the second that Kafka takes
				s.mu.Lock()
				if n := len(s.calls); n < most || n >= most+workers {
					t.Errorf("%d calls, want %d and what was in flight", n, most)
				}
				s.mu.Unlock()
				s.await(40)
			}, func(o *Options) { o.Workers, o.Publisher = workers, slowStage{o.Publisher.(*stage)} })
		})
	}
}
