package pacer

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// server is the API's side of a rate limit.
type server interface {
	// call judges a call that arrives at now.
	call(now time.Time) reply
}

// reply is what a server says about one call.
type reply struct {
	granted   bool
	wait      time.Duration // of a 429; -1: it does not say
	remaining int           // -1: it does not say
	reset     time.Duration
	hasReset  bool
	coarse    bool // reset is in whole seconds
}

// headers says which headers a server sends.
type headers uint8

const (
	bare    headers = iota // none
	float                  // with fractions of a second
	integer                // whole seconds, rounded up
)

func (h headers) apply(r reply) reply {
	up := func(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
	switch h {
	case bare:
		return reply{granted: r.granted, wait: -1, remaining: -1}
	case integer:
		r.reset, r.coarse = up(r.reset), true
		r.wait = up(r.wait)
	case float:
	}
	r.hasReset = true
	return r
}

// gcra is the generic cell rate algorithm.
type gcra struct {
	rate    func(now time.Time) float64 // calls a second
	burst   int
	headers headers
	full    time.Time // when the whole burst is available again
}

func (g *gcra) call(now time.Time) reply {
	interval := time.Duration(float64(time.Second) / g.rate(now))
	most := time.Duration(g.burst) * interval
	ahead := max(g.full.Sub(now), 0)
	if after := ahead + interval; after > most {
		return g.headers.apply(reply{wait: after - most, reset: ahead})
	}
	ahead += interval
	g.full = now.Add(ahead)
	return g.headers.apply(reply{granted: true, remaining: int((most - ahead) / interval), reset: ahead})
}

// window allows a number of calls in each period.
type window struct {
	calls   int
	period  time.Duration
	headers headers
	ends    time.Time
	used    int
}

func (w *window) call(now time.Time) reply {
	if !now.Before(w.ends) {
		w.ends, w.used = now.Truncate(w.period).Add(w.period), 0
	}
	left := w.ends.Sub(now)
	if w.used >= w.calls {
		return w.headers.apply(reply{wait: left, reset: left})
	}
	w.used++
	return w.headers.apply(reply{granted: true, remaining: w.calls - w.used, reset: left})
}

// flight is a call under way.
type flight struct {
	member  int
	began   time.Time
	answers time.Time
	reply   reply
}

type flights []flight

func (f flights) Len() int           { return len(f) }
func (f flights) Less(a, b int) bool { return f[a].answers.Before(f[b].answers) }
func (f flights) Swap(a, b int)      { f[a], f[b] = f[b], f[a] }
func (f *flights) Push(x any)        { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}

// client is a group of instances that always have work.
type client struct {
	perSecond float64
	burst     int
	members   int
	workers   int
	latency   time.Duration // of a call, up to twice as long
}

// second is what happened in one second.
type second struct{ granted, refused int }

// simulate lets the client call the server for d.
func (c client) simulate(s server, d time.Duration) []second {
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Unix(10_000, 0)
	now := start
	pacers := make([]*Pacer, c.members)
	next := make([]time.Time, c.members) // when the member's dispatcher acts again
	token := make([]Reservation, c.members)
	waiting := make([]bool, c.members) // for its token
	busy := make([]int, c.members)
	for i := range pacers {
		pacers[i] = New(c.perSecond, c.burst)
		pacers[i].SetShare(1/float64(c.members), now)
		next[i] = now
	}
	seconds := make([]second, int(d/time.Second)+1)
	var under flights
	arrive := func(m int) {
		busy[m]++
		took := c.latency + time.Duration(r.Int64N(int64(c.latency)))
		under.push(flight{m, now, now.Add(took), s.call(now)})
	}
	for now.Sub(start) < d {
		// The next event: a dispatcher that acts, or an answer.
		at, who := time.Time{}, -1
		for m, n := range next {
			if busy[m] < c.workers && (at.IsZero() || n.Before(at)) {
				at, who = n, m
			}
		}
		if len(under) > 0 && (at.IsZero() || !at.Before(under[0].answers)) {
			f := heap.Pop(&under).(flight)
			now = f.answers
			busy[f.member]--
			sec := &seconds[min(int(now.Sub(start)/time.Second), len(seconds)-1)]
			if f.reply.granted {
				sec.granted++
			} else {
				sec.refused++
			}
			if pacers[f.member].Answered(f.answer(), now) {
				waiting[f.member], next[f.member] = false, now
			}
			if next[f.member].Before(now) {
				next[f.member] = now
			}
			continue
		}
		if at.After(now) {
			now = at
		}
		p := pacers[who]
		if waiting[who] {
			waiting[who] = false
			if p.Use(token[who], now) {
				arrive(who)
				continue
			}
		}
		t := p.Reserve(now)
		if t.Wait == 0 {
			arrive(who)
			continue
		}
		token[who], waiting[who], next[who] = t, true, now.Add(t.Wait)
	}
	return seconds
}

func (f *flights) push(x flight) { heap.Push(f, x) }

// answer is what the pacer is told.
func (f *flight) answer() Answer {
	a := Answer{Began: f.began, Throttled: !f.reply.granted, Remaining: f.reply.remaining, Reset: f.reply.reset, HasReset: f.reply.hasReset, Coarse: f.reply.coarse}
	if a.Throttled {
		a.Wait = max(f.reply.wait, 0)
	}
	return a
}

// use is the share of what a server allows that was used, and of the calls that it
// refused, from one second on.
func use(seconds []second, allowed float64) (used, refused float64) {
	granted, no := 0, 0
	for _, s := range seconds {
		granted += s.granted
		no += s.refused
	}
	return float64(granted) / (allowed * float64(len(seconds))), float64(no) / math.Max(float64(granted+no), 1)
}
