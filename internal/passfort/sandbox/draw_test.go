package sandbox_test

import (
	"context"
	"math"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/passfort/sandbox"
)

func TestErrorsAndRejectsFollowTheSeed(t *testing.T) {
	const n = 20_000
	run := func(seed uint64) (statuses []int) {
		s := newSandbox(t, sandbox.Options{ErrorRate: 0.1, RejectRate: 0.2, Seed: seed})
		for i := range n {
			statuses = append(statuses, call(s, "POST", "/4.0/profiles/"+profileID+"/tasks/"+task(i), pass).Code)
		}
		return statuses
	}
	first, again, other := run(1), run(1), run(2)
	if !reflect.DeepEqual(first, again) || reflect.DeepEqual(first, other) {
		t.Error("the answers do not follow the seed")
	}
	count := map[int]int{}
	for _, status := range first {
		count[status]++
	}
	for status, want := range map[int]float64{503: 0.1, 404: 0.9 * 0.2, 200: 0.9 * 0.8} {
		if got := float64(count[status]) / n; math.Abs(got-want) > 0.01 {
			t.Errorf("%d: share %.3f, want %.3f", status, got, want)
		}
	}
}

func TestRejectedTasksAreNeverRemembered(t *testing.T) {
	s := newSandbox(t, sandbox.Options{RejectRate: 0.5, Seed: 7})
	rejected := 0
	for i := range 200 {
		path := "/4.0/profiles/" + profileID + "/tasks/" + task(i)
		want := call(s, "POST", path, pass).Code
		if got := call(s, "GET", path, "").Code; got != want {
			t.Errorf("task %d: %d, then %d", i, want, got)
		}
		if want == 404 {
			rejected++
			if s.State(profileID, task(i)) != "" {
				t.Errorf("task %d is remembered", i)
			}
		}
	}
	if stats := s.Stats(); rejected < 60 || rejected > 140 || stats.DistinctTasks != int64(200-rejected) {
		t.Errorf("%d rejected, %+v", rejected, stats)
	}
}

func TestCallsTakeLatencyAndJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{Latency: time.Second, Jitter: time.Second})
		start := time.Now()
		took := make([]time.Duration, 50)
		var wg sync.WaitGroup
		for i := range took {
			wg.Go(func() {
				call(s, "GET", "/4.0/whoami", "")
				took[i] = time.Since(start)
			})
		}
		wg.Wait()
		distinct := map[time.Duration]bool{}
		for _, d := range took {
			if d < time.Second || d >= 2*time.Second {
				t.Errorf("took %s", d)
			}
			distinct[d] = true
		}
		if len(distinct) < 40 || s.Stats().MaxInFlight != 50 {
			t.Errorf("%d different times, %d in flight", len(distinct), s.Stats().MaxInFlight)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start = time.Now()
		r := httptest.NewRequestWithContext(ctx, "POST", taskPath, strings.NewReader(pass))
		r.Header.Set("apikey", "sandbox")
		s.ServeHTTP(httptest.NewRecorder(), r)
		if time.Since(start) != time.Millisecond || s.Completions(profileID, taskID) != 0 {
			t.Errorf("a client that gave up waited for %s", time.Since(start))
		}
	})
}
