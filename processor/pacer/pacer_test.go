package pacer

import (
	"math/rand/v2"
	"testing"
	"time"
)

// pace takes tokens as fast as the pacer gives them, from now to end, and returns
// when they were given.
func pace(p *Pacer, now, end time.Time) (given []time.Time) {
	for {
		r := p.Reserve(now)
		if r.Wait == 0 {
			given = append(given, now)
			continue
		}
		if now = now.Add(r.Wait); now.After(end) {
			p.Cancel(r, now)
			return given
		}
		if p.Use(r, now) {
			given = append(given, now)
		}
	}
}

// wantBound wants no more than most tokens in any second.
func wantBound(t *testing.T, given []time.Time, most int) {
	t.Helper()
	first := 0
	for i, at := range given {
		for at.Sub(given[first]) >= time.Second {
			first++
		}
		if n := i - first + 1; n > most {
			t.Fatalf("%d tokens in one second, want at most %d", n, most)
		}
	}
}

func TestPacerKeepsRateAndBurst(t *testing.T) {
	const perSecond, burst = 50, 8
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1000, 0)
	p := New(perSecond, burst, now)
	if given := pace(p, now, now.Add(time.Minute)); len(given) != 0 {
		t.Fatalf("%d tokens without a share", len(given))
	}
	now = now.Add(time.Minute)
	p.SetShare(1, now)
	var all []time.Time
	for range 200 {
		end := now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		all = append(all, pace(p, now, end)...)
		now = end
		switch r.IntN(10) {
		case 0:
			p.Throttled(time.Duration(r.IntN(3000))*time.Millisecond, now)
		case 1:
			p.Allowance(r.IntN(100), time.Duration(r.IntN(10_000))*time.Millisecond, now)
		case 2:
			now = now.Add(time.Duration(r.IntN(60)) * time.Second) // quiet, so that the bucket fills
		}
	}
	wantBound(t, all, perSecond+burst)
	if len(all) < 1000 {
		t.Errorf("only %d tokens", len(all))
	}
}

func TestPacerHoldsAndCutsAfterA429(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(100, 1, now)
	p.SetShare(1, now)
	pace(p, now, now.Add(time.Second))
	now = now.Add(time.Second)
	if !p.Throttled(10*time.Second, now) {
		t.Fatal("a 429 changed nothing")
	}
	if p.Throttled(5*time.Second, now) {
		t.Error("a second 429 to calls that were under way together changed something")
	}
	given := pace(p, now, now.Add(11*time.Second))
	if len(given) == 0 || given[0].Before(now.Add(10*time.Second)) {
		t.Fatalf("tokens within the hold: %v", given)
	}
	if n := len(given); n < 45 || n > 60 {
		t.Errorf("%d tokens in the second after the hold, want about half of 100", n)
	}
	now = now.Add(11*time.Second + healing)
	if n := len(pace(p, now, now.Add(time.Second))); n < 95 {
		t.Errorf("%d tokens a second after the cut healed, want 100", n)
	}
}

func TestReservationsAreVoidAfterAChange(t *testing.T) {
	for name, change := range map[string]func(p *Pacer, now time.Time){
		"share": func(p *Pacer, now time.Time) { p.SetShare(0.5, now) },
		"429":   func(p *Pacer, now time.Time) { p.Throttled(time.Minute, now) },
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			p := New(1, 1, now)
			p.SetShare(1, now)
			r := p.Reserve(now)
			if r.Wait <= 0 {
				t.Fatal("a token from a bucket that starts empty")
			}
			change(p, now)
			if p.Use(r, now.Add(r.Wait)) {
				t.Error("the token was still valid")
			}
		})
	}
}

func TestHostileAllowanceLeavesAFloor(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(100, 1, now)
	p.SetShare(1, now)
	p.Allowance(0, time.Hour, now)
	if n := len(pace(p, now, now.Add(10*time.Second))); n < 45 || n > 55 {
		t.Errorf("%d tokens in 10 seconds, want 5%% of 100 a second", n)
	}
	p.Allowance(0, 0, now)
	now = now.Add(10 * time.Second)
	if n := len(pace(p, now, now.Add(time.Second))); n < 95 {
		t.Errorf("%d tokens in the second after a reset of 0, want 100", n)
	}
}
