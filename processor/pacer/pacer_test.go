package pacer

import (
	"math"
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
		members := []*Pacer{New(perSecond, burst), New(perSecond, burst)}
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
		share := rapid.SampledFrom([]float64{1, 0.5}).Draw(t, "share")
		p := New(perSecond, 10)
		p.SetShare(share, now)
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
		if want := perSecond * share; want > 0 {
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
			p := New(perSecond, 10)
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
			if held := p.HeldUntil().Sub(began); held > time.Second {
				t.Errorf("held for %v, though the API did not say to wait", held)
			}
		})
	}
}

// TestMomentOf429sCostsAMoment: an API refuses all for a quarter of a second, or for
// longer, without a wait, and then accepts all again.
func TestMomentOf429sCostsAMoment(t *testing.T) {
	c := client{perSecond: 100, burst: 10, members: 1, workers: 40, latency: 20 * time.Millisecond}
	for moment, within := range map[time.Duration]int{250 * time.Millisecond: 11, time.Second: 12, 5 * time.Second: 20} {
		seconds := c.simulate(&closed{from: 2 * time.Second, moment: moment}, 30*time.Second)
		granted, refused := 0, 0
		for i, s := range seconds {
			if granted += s.granted; i == within && granted < 900 {
				t.Errorf("%v of 429s: %d calls in %d seconds, want 900", moment, granted, within)
			}
			refused += s.refused
		}
		if refused > 20 {
			t.Errorf("%v of 429s: %d calls are refused", moment, refused)
		}
	}
}

// TestCallsThatAreFewSayNothingOfTheAllowance: one call a second is made of the fifty that
// are allowed, and one of them is refused. What comes then must not go at one a second.
func TestCallsThatAreFewSayNothingOfTheAllowance(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(50, 10)
	p.SetShare(1, now)
	for range 60 {
		p.Reserve(now)
		p.Answered(Answer{Began: now, Remaining: -1}, now)
		now = now.Add(time.Second)
	}
	refuse(p, time.Second, now)
	now = p.HeldUntil()
	p.Reserve(now)
	if got := p.Limit(); got < 20 || got > 30 {
		t.Errorf("%v calls a second after one was refused, want about half of 50", got)
	}
}

// closed is a server that refuses every call for a moment.
type closed struct{ from, moment time.Duration }

func (c *closed) call(now time.Time) reply {
	at := now.Sub(time.Unix(10_000, 0))
	return bare.apply(reply{granted: at < c.from || at >= c.from+c.moment})
}

func TestLate429LengthensTheHold(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(50, 10)
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
			p := New(1, 1)
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
	if given := pace(New(50, 10), now, now.Add(10*time.Hour)); len(given) != 0 {
		t.Errorf("%d tokens without a share", len(given))
	}
}

func TestHostileQuotaLeavesAFloor(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(100, 1)
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

// TestShortResetIsTheEndOfALongerOne, or of an allowance about which it says nothing.
func TestShortResetIsTheEndOfALongerOne(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(50, 10)
	p.SetShare(1, now)
	for _, a := range []struct {
		after, reset time.Duration
		want         float64
	}{{0, 1500 * time.Millisecond, 8 / 1.5}, {700 * time.Millisecond, 800 * time.Millisecond, 10}, {countdown, 800 * time.Millisecond, 50}} {
		now = now.Add(a.after)
		p.Answered(Answer{Began: now, Remaining: 8, Reset: a.reset, HasReset: true}, now)
		if p.Reserve(now); math.Abs(p.Limit()-a.want) > 0.1 {
			t.Errorf("a reset of %v: the limit is %v, want %v", a.reset, p.Limit(), a.want)
		}
	}
}

// TestCutIsOfWhatTheGroupMakes has 20 calls a second accepted of an instance with half
// of the partitions, and then another share.
func TestCutIsOfWhatTheGroupMakes(t *testing.T) {
	for _, c := range []struct{ perSecond, share, want float64 }{
		{40, 0.5, 0.5 * 40 * (1 - cutBy)},
		{0, 0.5, 0.5 * 40 * (1 - cutBy)},
		{40, 0.25, 0.25 * 40 * halveBy}, // what another share had accepted says nothing
		{40, 1, 40 * halveBy},
	} {
		now := time.Unix(1000, 0)
		p := New(c.perSecond, 10)
		p.SetShare(0.5, now)
		for range 100 {
			p.Reserve(now)
			p.Answered(Answer{Began: now, Remaining: -1}, now)
			now = now.Add(50 * time.Millisecond)
		}
		p.SetShare(c.share, now)
		refuse(p, 0, now)
		if p.Limit() < c.want*0.95 || p.Limit() > c.want*1.05 {
			t.Errorf("%+v: cut to %v", c, p.Limit())
		}
	}
}

// TestUnlimitedRateFollowsHeadersAndIsCut from what was made: calls that waited for a token
// count as well.
func TestUnlimitedRateFollowsHeadersAndIsCut(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(0, 10)
	p.SetShare(1, now)
	p.Answered(Answer{Began: now, Remaining: 400, Reset: 10 * time.Second, HasReset: true}, now)
	if p.Reserve(now); p.Limit() != 40 {
		t.Fatalf("the limit is %v a second, want 40 by the headers", p.Limit())
	}
	end := now.Add(10 * time.Second)
	for _, at := range pace(p, now, end.Add(-1)) {
		p.Answered(Answer{Began: at, Remaining: -1}, at)
	}
	refuse(p, 0, end)
	if want := 40 * (1 - cutBy); math.Abs(p.Limit()-want) > 1 {
		t.Errorf("cut to %v, want %v", p.Limit(), want)
	}
}

// TestAnswersAfterTheShareIsLost: the calls were under way.
func TestAnswersAfterTheShareIsLost(t *testing.T) {
	for perSecond, want := range map[float64]float64{40: 40 * halveBy, 0: 1} {
		now := time.Unix(1000, 0)
		p := New(perSecond, 10)
		p.SetShare(1, now)
		p.SetShare(0, now)
		p.Answered(Answer{Began: now, Remaining: -1}, now)
		now = now.Add(2 * measured)
		refuse(p, 0, now)
		if p.SetShare(1, p.HeldUntil()); p.Limit() != want {
			t.Errorf("%v: the limit is %v, want %v", perSecond, p.Limit(), want)
		}
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

func TestCanceledTokenIsGivenBack(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(1, 1)
	p.SetShare(1, now)
	for range 100 {
		r := p.Reserve(now)
		if r.Wait <= 0 || r.Wait > time.Second {
			t.Fatalf("a wait of %v for the first token", r.Wait)
		}
		p.Cancel(r, now)
	}
	p.Cancel(Reservation{}, now) // none was taken
}

func TestShareThatDoesNotChangeVoidsNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New(1, 1)
	if !p.SetShare(0.5, now) {
		t.Error("another share voids nothing")
	}
	r := p.Reserve(now)
	if p.SetShare(0.5, now) || !p.Use(r, now.Add(r.Wait)) {
		t.Error("the same share voids reservations")
	}
	if p.Answered(Answer{Began: now, Remaining: -1}, now) {
		t.Error("an answer without a 429 voids reservations")
	}
}

// TestAPIThatRefusesAllIsAskedLessAndLess refuses every call that is made after a hold.
func TestAPIThatRefusesAllIsAskedLessAndLess(t *testing.T) {
	for perSecond, floor := range map[float64]float64{64: 1, 8: 0.4} {
		now := time.Unix(1000, 0)
		p := New(perSecond, 10)
		p.SetShare(1, now)
		refuse(p, 0, now)
		cut := p.Limit() // the first refusal cuts the rate, since nothing was accepted yet
		if cut != perSecond/2 {
			t.Errorf("%v: cut to %v", perSecond, cut)
		}
		before, hold := cut, firstHold
		for n := 2; n < 12; n++ {
			now = p.HeldUntil()
			refuse(p, 0, now)
			if p.HeldUntil().Sub(now) != min(2*hold, longestHold) {
				t.Fatalf("%v: hold %d lasts %v after %v", perSecond, n, p.HeldUntil().Sub(now), hold)
			}
			hold = p.HeldUntil().Sub(now)
			got := p.Limit() // what was learned grows meanwhile
			if got < floor || got > before*0.8 && got > 2*floor || n == 2 && got > cut*0.6 {
				t.Errorf("%v: after %d holds the limit is %v, it was %v", perSecond, n, got, before)
			}
			before = got
		}
		slow := *p
		now = p.HeldUntil()
		p.Answered(Answer{Began: now.Add(-time.Millisecond), Remaining: -1}, now) // it was under way in the hold
		if p.Reserve(now); p.Limit() > 2*floor {
			t.Errorf("%v: the limit is %v before a call was accepted", perSecond, p.Limit())
		}
		p.Answered(Answer{Began: now, Remaining: -1}, now.Add(time.Millisecond))
		if p.Reserve(now.Add(time.Millisecond)); p.Limit() < cut {
			t.Errorf("%v: the limit is %v after a call was accepted, want %v", perSecond, p.Limit(), cut)
		}
		if slow.Reserve(slow.HeldUntil().Add(longestHold + time.Second)); slow.Limit() < cut {
			t.Errorf("%v: the limit is %v a minute after the last hold, want %v", perSecond, slow.Limit(), cut)
		}
	}
}

func TestQuotaNeedsBothOfItsParts(t *testing.T) {
	for _, a := range []Answer{
		{Remaining: -1, Reset: 10 * time.Second, HasReset: true}, {Remaining: 1, Reset: 10 * time.Second}, {Remaining: 1, HasReset: true},
	} {
		now := time.Unix(1000, 0)
		p := New(50, 10)
		p.SetShare(1, now)
		p.Answered(a, now)
		if p.Reserve(now); p.Limit() != 50 {
			t.Errorf("%+v: the limit is %v", a, p.Limit())
		}
	}
}

// TestRateThatIsSetCounts sets rates: who waits asks again, and no time has more tokens than its
// rate and the burst, nor many less.
func TestRateThatIsSetCounts(t *testing.T) {
	const burst = 3
	for _, share := range []float64{1, 0.5} {
		now := time.Unix(1000, 0)
		p := New(50, burst)
		p.SetShare(share, now)
		for _, perSecond := range []float64{2, 0.5, 100, 10, 50} {
			waiting := p.Reserve(now)
			if !p.SetRate(perSecond, now) || p.SetRate(perSecond, now) {
				t.Errorf("setting %v does not void reservations once", perSecond)
			}
			if p.Use(waiting, now.Add(waiting.Wait)) {
				t.Errorf("a reservation from before the rate %v is valid", perSecond)
			}
			end := now.Add(20 * time.Second)
			if n, most := len(pace(p, now, end)), int(20*perSecond*share)+burst; n > most || n < most-2*burst {
				t.Errorf("%d tokens in 20 s at %v a second and a share of %v", n, perSecond, share)
			}
			now = end
		}
		if !p.SetRate(0, now) || !math.IsInf(p.Limit(), 1) {
			t.Errorf("unlimited: %v", p.Limit())
		}
		refuse(p, time.Minute, now)
		if p.SetRate(10, now); untilToken(p, now) < time.Minute {
			t.Error("setting a rate ended a hold")
		}
	}
}
