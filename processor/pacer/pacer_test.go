package pacer

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
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
			p.Cancel(r, end)
			return given
		}
		if p.Use(r, now) {
			given = append(given, now)
		}
	}
}

// untilToken takes one token and returns how long that took.
func untilToken(p *Pacer, now time.Time) time.Duration {
	for began := now; ; {
		r := p.Reserve(now)
		now = now.Add(r.Wait)
		if r.Wait == 0 || p.Use(r, now) {
			return now.Sub(began)
		}
	}
}

// refuse tells the pacer of a 429 to a call that was made just now.
func refuse(p *Pacer, wait time.Duration, now time.Time) bool {
	return p.Answered(Answer{Began: now, Throttled: true, Wait: wait, Remaining: -1}, now)
}

// TestPacerKeepsRateAndBurst: whatever answers come and shares change, no second
// has more tokens than rate and burst.
func TestPacerKeepsRateAndBurst(t *testing.T) {
	const perSecond, burst = 50, 8
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		members := []*Pacer{New(perSecond, burst, now), New(perSecond, burst, now)}
		var all []time.Time
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // a rebalance: all stop before any goes on
				share := float64(rapid.IntRange(0, 8).Draw(t, "share")) / 8
				for _, p := range members {
					p.SetShare(0, now)
				}
				members[0].SetShare(share, now)
				members[1].SetShare(1-share, now)
			case 1:
				refuse(members[rapid.IntRange(0, 1).Draw(t, "member")], time.Duration(rapid.IntRange(0, 3000).Draw(t, "wait"))*time.Millisecond, now)
			case 2:
				members[rapid.IntRange(0, 1).Draw(t, "member")].Answered(Answer{
					Began: now, Remaining: rapid.IntRange(-1, 1<<30).Draw(t, "remaining"),
					Reset: time.Duration(rapid.IntRange(0, 3_600_000).Draw(t, "reset")) * time.Millisecond, HasReset: true, Coarse: rapid.Bool().Draw(t, "coarse"),
				}, now)
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "quiet")) * time.Second)
			case 4:
				end := now.Add(time.Duration(rapid.IntRange(0, 2500).Draw(t, "busy")) * time.Millisecond)
				for _, p := range members {
					all = append(all, pace(p, now, end)...)
				}
				now = end
			}
		}
		wantBound(t, all, perSecond+burst)
	})
}

// wantBound wants no more than most tokens in any second.
func wantBound(t *rapid.T, given []time.Time, most int) {
	perSecond := make(map[int64]int) // by the tenth of a second in which the second begins
	for _, at := range given {
		for tenth := at.UnixMilli()/100 - 9; tenth <= at.UnixMilli()/100; tenth++ {
			if perSecond[tenth]++; perSecond[tenth] > most {
				t.Fatalf("%d tokens in one second, want at most %d", perSecond[tenth], most)
			}
		}
	}
}

// TestPacerRecoversFromAnyAnswers: whatever was answered, calls go on, and the
// configured rate is found again within five minutes without a 429.
func TestPacerRecoversFromAnyAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.SampledFrom([]float64{0, 0.5, 5, 50, 5000}).Draw(t, "rate")
		now := time.Unix(1000, 0)
		p := New(perSecond, 10, now)
		p.SetShare(1, now)
		for range rapid.IntRange(1, 200).Draw(t, "answers") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "after")) * time.Millisecond)
			began := now.Add(-time.Duration(rapid.IntRange(0, 5000).Draw(t, "took")) * time.Millisecond)
			p.Answered(Answer{
				Began: began, Throttled: rapid.Bool().Draw(t, "429"), Wait: time.Duration(rapid.IntRange(0, 300).Draw(t, "wait")) * time.Second / 10,
				Remaining: -1,
			}, now)
		}
		now = latest(now, p.HeldUntil()).Add(time.Minute)
		if wait := untilToken(p, now); wait > time.Minute {
			t.Fatalf("the next token comes after %v, a minute after the last hold", wait)
		}
		now = now.Add(5 * time.Minute)
		if want := perSecond; want > 0 {
			p.Reserve(now)
			if p.Limit() < want {
				t.Fatalf("five minutes later the limit is %g a second, want %g", p.Limit(), want)
			}
		}
	})
}

// TestStormOf429sIsOneCut: many calls that were under way together are refused.
func TestStormOf429sIsOneCut(t *testing.T) {
	for name, perSecond := range map[string]float64{"50 a second": 50, "unlimited": 0} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			p := New(perSecond, 10, now)
			p.SetShare(1, now)
			for range 64 {
				p.Reserve(now)
			}
			began := now
			now = now.Add(100 * time.Millisecond)
			p.Reserve(now)
			before := p.present(now)
			for range 64 {
				p.Answered(Answer{Began: began, Throttled: true, Remaining: -1}, now)
				now = now.Add(100 * time.Microsecond)
			}
			p.Reserve(now)
			if p.Limit() < before*halveBy*0.99 {
				t.Errorf("the limit is %g a second after one storm, it was %g", p.Limit(), before)
			}
			if now.Before(p.HeldUntil()) {
				t.Error("a hold, though the API said to go on at once")
			}
		})
	}
}

func TestLate429LengthensTheHold(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(50, 10, now)
	p.SetShare(1, now)
	refuse(p, time.Second, now)
	r := p.Reserve(now)
	if !p.Answered(Answer{Began: now.Add(-time.Second), Throttled: true, Wait: 5 * time.Second, Remaining: -1}, now) {
		t.Error("a longer hold voids no reservation")
	}
	if got := p.HeldUntil().Sub(now); got != 5*time.Second {
		t.Errorf("held for %v, want 5s", got)
	}
	if p.Use(r, now.Add(r.Wait)) {
		t.Error("a token was valid within the longer hold")
	}
	if p.Answered(Answer{Began: now.Add(-time.Second), Throttled: true, Wait: time.Second, Remaining: -1}, now) {
		t.Error("a shorter hold changed something")
	}
}

func TestReservationsAreVoidAfterAChange(t *testing.T) {
	for name, change := range map[string]func(p *Pacer, now time.Time){
		"share": func(p *Pacer, now time.Time) { p.SetShare(0.5, now) },
		"429":   func(p *Pacer, now time.Time) { refuse(p, time.Minute, now) },
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

func TestNoShareGivesNoToken(t *testing.T) {
	now := time.Unix(1000, 0)
	if given := pace(New(50, 10, now), now, now.Add(10*time.Hour)); len(given) != 0 {
		t.Errorf("%d tokens without a share", len(given))
	}
}

func TestHostileQuotaLeavesAFloor(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(100, 1, now)
	p.SetShare(1, now)
	p.Answered(Answer{Began: now, Remaining: 0, Reset: time.Hour, HasReset: true}, now)
	if n := len(pace(p, now, now.Add(10*time.Second))); n < 45 || n > 55 {
		t.Errorf("%d tokens in 10 seconds, want 5%% of 100 a second", n)
	}
	p.Answered(Answer{Began: now, Remaining: 0, Reset: 0, HasReset: true}, now)
	now = now.Add(10 * time.Second)
	if n := len(pace(p, now, now.Add(time.Second))); n < 95 {
		t.Errorf("%d tokens in the second after a reset of 0, want 100", n)
	}
}

func TestMeterCountsTheLastSeconds(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	if _, known := m.rate(now); known {
		t.Error("a rate without an event")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 { // 100 a second
		m.add(now)
		now = now.Add(10 * time.Millisecond)
	}
	if got, known := m.rate(now); !known || got < 95 || got > 105 {
		t.Errorf("%g a second, known %v, want 100", got, known)
	}
	now = now.Add(measured + time.Duration(r.Int64N(int64(time.Hour))))
	if got, _ := m.rate(now); got != 0 {
		t.Errorf("%g a second after a long quiet", got)
	}
}
