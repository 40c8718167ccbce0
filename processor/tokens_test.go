package processor

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"verdict/metrics"
	"verdict/processor/pacer"
)

// refuse tells the tokens of a 429 to a call that was made just now.
func (t *tokens) refuse(wait time.Duration) {
	t.answered(pacer.Answer{Began: time.Now(), Throttled: true, Wait: wait, Remaining: -1})
}

// quota tells the tokens what an answer says is left.
func (t *tokens) quota(remaining int, reset time.Duration) {
	t.answered(pacer.Answer{Began: time.Now(), Remaining: remaining, Reset: reset, HasReset: true})
}

func testTokens(rate float64, burst int) *tokens {
	return newTokens(rate, burst, metrics.New(prometheus.NewRegistry()))
}

// TestTokensStayWithinRateAndBurstInEverySecond has several callers take tokens
// from two instances that share a rate, while partitions move between them.
func TestTokensStayWithinRateAndBurstInEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst = 50, 8
		r := rand.New(rand.NewPCG(5, 6))
		instances := []*tokens{testTokens(rate, burst), testTokens(rate, burst)}
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var calls []time.Time
		var wg sync.WaitGroup
		for _, l := range instances {
			for range 5 {
				wg.Go(func() {
					for l.wait(ctx) == nil {
						mu.Lock()
						calls = append(calls, time.Now())
						mu.Unlock()
					}
				})
			}
		}
		for range 60 {
			// As in a rebalance: all stop before any goes on.
			for _, l := range instances {
				l.setShare(0)
			}
			part := float64(r.IntN(9)) / 8
			instances[0].setShare(part)
			instances[1].setShare(1 - part)
			time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			if r.IntN(4) == 0 {
				instances[r.IntN(2)].refuse(time.Duration(r.IntN(3000)) * time.Millisecond)
			}
		}
		cancel()
		wg.Wait()
		first := 0
		for i, at := range calls {
			for at.Sub(calls[first]) >= time.Second {
				first++
			}
			if n := i - first + 1; n > rate+burst {
				t.Fatalf("%d calls in one second, the limit is %d + %d", n, rate, burst)
			}
		}
		if len(calls) < 1000 {
			t.Errorf("only %d calls", len(calls))
		}
	})
}

func TestTokensCutAnUnlimitedRateAfterA429AndRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testTokens(0, 10)
		l.setShare(1)
		for range 1000 { // 1000 a second
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		l.refuse(2 * time.Second)
		if err := l.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held := time.Since(began); held < 2*time.Second || held > 2100*time.Millisecond {
			t.Errorf("held for %v", held)
		}
		for range 499 { // half of the 1000 a second that there were
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began) - 2*time.Second; took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("500 calls after the cut took %v", took)
		}
		time.Sleep(10 * time.Minute)
		began = time.Now()
		for range 10_000 {
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("ten minutes after the cut 10000 calls took %v", took)
		}
	})
}

func TestTokensWakeWaitersWhenTheShareGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testTokens(100, 1)
		waited := make(chan time.Duration)
		go func() {
			began := time.Now()
			if l.wait(t.Context()) != nil {
				return
			}
			waited <- time.Since(began)
		}()
		time.Sleep(time.Minute)
		l.setShare(1)
		if d := <-waited; d > time.Minute+time.Second {
			t.Errorf("waited for %v", d)
		}
	})
}

// TestTokensOfThoseWhoGiveUpAreGivenBack: who waits next does not wait for them too.
func TestTokensOfThoseWhoGiveUpAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testTokens(1, 1)
		l.setShare(1)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if l.wait(ctx) == nil {
				t.Fatal("a token from a bucket that starts empty")
			}
			cancel()
		}
		began := time.Now()
		if err := l.wait(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("waited for %v, %v", time.Since(began), err)
		}
	})
}

func TestTokensSpreadTheAllowanceUntilItsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testTokens(100, 10)
		l.setShare(0.5)
		l.quota(60, 10*time.Second)
		began := time.Now()
		for range 30 { // 60 in 10s for the group, so 3 a second for half of it
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 9*time.Second || took > 10500*time.Millisecond {
			t.Errorf("30 calls took %v, want about 10s", took)
		}
		// A wrong or hostile header does not stop all calls.
		l.quota(0, time.Hour)
		began = time.Now()
		for range 5 {
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("5 calls took %v with nothing remaining", took)
		}
	})
}

// TestTokensCutTheGroupsRate: whatever share an instance had when the API asked to
// wait, it then has its share of the rate that is allowed.
func TestTokensCutTheGroupsRate(t *testing.T) {
	for name, c := range map[string]struct {
		rate          float64
		before, after float64
		least, most   int // in the minute after
	}{
		"smaller share":              {50, 1, 0.1, 150, 300},
		"larger share":               {50, 0.1, 1, 1500, 3000},
		"no share before":            {50, 0, 1, 1000, 3000},
		"no share before, unlimited": {0, 0, 1, 60, 1 << 20},
		"no share before, low rate":  {0.5, 0, 1, 5, 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := testTokens(c.rate, 1)
				l.setShare(c.before)
				l.refuse(time.Second)
				l.setShare(c.after)
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				n := 0
				for n < c.most+1 && l.wait(ctx) == nil {
					n++
				}
				if n < c.least || n > c.most {
					t.Errorf("%d calls in a minute, want %d to %d", n, c.least, c.most)
				}
			})
		})
	}
}

func TestTokensShareTheAllowanceAfterAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testTokens(100, 1)
		l.setShare(1)
		l.quota(400, 10*time.Second) // 40 a second for the group
		l.setShare(0.25)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		n := 0
		for l.wait(ctx) == nil {
			n++
		}
		if n > 51 {
			t.Errorf("%d calls in 5 seconds, want 10 a second", n)
		}
	})
}

func BenchmarkTokensUnlimited(b *testing.B) {
	l := testTokens(0, 10)
	l.setShare(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
