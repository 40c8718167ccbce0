package pacer

import (
	"testing"
	"time"
)

// fixed is a rate that does not change.
func fixed(perSecond float64) func(time.Time) float64 {
	return func(time.Time) float64 { return perSecond }
}

// settling is how long the pacer may take to learn an allowance.
const settling = 40 * time.Second

// allowances are the ways in which an API allows less than is configured.
var allowances = []struct {
	name    string
	server  func() server
	allowed float64 // calls a second
	least   float64 // share of it that is to be used
}{
	{"GCRA, float headers", func() server { return &gcra{rate: fixed(20), burst: 10, headers: float} }, 20, 0.95},
	{"GCRA, integer headers", func() server { return &gcra{rate: fixed(20), burst: 10, headers: integer} }, 20, 0.95},
	{"GCRA, integer headers, 45", func() server { return &gcra{rate: fixed(45), burst: 10, headers: integer} }, 45, 0.95},
	{"GCRA, integer headers, burst", func() server { return &gcra{rate: fixed(20), burst: 100, headers: integer} }, 20, 0.95},
	{"GCRA, bare", func() server { return &gcra{rate: fixed(20), burst: 10} }, 20, 0.90},
	{"GCRA, bare, 45", func() server { return &gcra{rate: fixed(45), burst: 10} }, 45, 0.90},
	{"GCRA, bare, 3", func() server { return &gcra{rate: fixed(3), burst: 10} }, 3, 0.90},
	{"400 in 10 seconds, float", func() server { return &window{calls: 400, period: 10 * time.Second, headers: float} }, 40, 0.95},
	{"400 in 10 seconds, integer", func() server { return &window{calls: 400, period: 10 * time.Second, headers: integer} }, 40, 0.95},
	{"400 in 10 seconds, bare", func() server { return &window{calls: 400, period: 10 * time.Second} }, 40, 0.90},
}

// ordinary is one instance with calls of ordinary length.
var ordinary = client{perSecond: 50, burst: 10, members: 1, workers: 64, latency: 50 * time.Millisecond}

// TestPacerUsesWhatTheAPIAllows lets a group that always has work call APIs that
// allow less than is configured. It wants most of the allowance used, and at most 1 %
// of the calls refused or, of a few calls a second, four a minute. Where calls take a
// second, those that are under way when a window closes are refused as well.
func TestPacerUsesWhatTheAPIAllows(t *testing.T) {
	for _, c := range allowances {
		for group, client := range map[string]client{
			"one instance":  ordinary,
			"slow calls":    {perSecond: 50, burst: 10, members: 1, workers: 128, latency: 700 * time.Millisecond},
			"two instances": {perSecond: 50, burst: 10, members: 2, workers: 64, latency: 100 * time.Millisecond},
		} {
			t.Run(c.name+"/"+group, func(t *testing.T) {
				seconds := client.simulate(c.server(), 5*time.Minute)
				used, refused := use(seconds[settling/time.Second:], c.allowed)
				if used < c.least {
					t.Errorf("%.1f %% of the allowance is used, want %.0f %%", used*100, c.least*100)
				}
				most := max(0.01, 4/(c.allowed*60))
				if group == "slow calls" {
					most += 0.005
				}
				if refused > most {
					t.Errorf("%.2f %% of the calls are refused, want at most %.2f %%", refused*100, most*100)
				}
			})
		}
	}
}

// changing lets a client call an API whose limit is raised from 20 to 100 calls a second
// and lowered again. It returns the parts of that time in which the pacer should know.
func changing(c client, h headers) (parts []changed) {
	const raised, lowered, d = 2 * time.Minute, 6 * time.Minute, 8 * time.Minute
	start := time.Unix(10_000, 0)
	seconds := c.simulate(&gcra{burst: 10, headers: h, rate: func(now time.Time) float64 {
		if at := now.Sub(start); at < raised || at >= lowered {
			return 20
		}
		return 100
	}}, d)
	part := func(from, to time.Duration) []second { return seconds[from/time.Second : to/time.Second] }
	return []changed{
		{"before", part(settling, raised), 20},
		{"two minutes after it was raised", part(raised+2*time.Minute, lowered), 100},
		{"after it was lowered", part(lowered+settling, d), 20},
	}
}

type changed struct {
	when    string
	of      []second
	allowed float64
}

func TestPacerFollowsAnAllowanceThatChanges(t *testing.T) {
	for name, h := range map[string]headers{"bare": bare, "float": float, "integer": integer} {
		for group, client := range map[string]client{
			"150 a second":  {perSecond: 150, burst: 10, members: 1, workers: 128, latency: 100 * time.Millisecond},
			"two instances": {perSecond: 150, burst: 10, members: 2, workers: 128, latency: 100 * time.Millisecond},
			"unlimited":     {perSecond: 0, burst: 10, members: 1, workers: 64, latency: 100 * time.Millisecond},
		} {
			t.Run(name+"/"+group, func(t *testing.T) {
				for _, c := range changing(client, h) {
					used, refused := use(c.of, c.allowed)
					if used < 0.9 || refused > 0.01 {
						t.Errorf("%s: %.1f %% of the allowance is used and %.2f %% refused, want 90 %% and 1 %%", c.when, used*100, refused*100)
					}
				}
			})
		}
	}
}
