package service_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/test/fixture"
)

// liveLoad is a load of live decisions at random moments, with or without a backfill
// beside it.
type liveLoad struct {
	rate          float64 // calls a second; 0: unlimited
	workers       int
	call          time.Duration // what each call takes
	n             int           // number of moments at which live decisions come
	atOnce        int           // live decisions at each moment
	least, spread time.Duration // the time between moments: least, and up to spread more
}

// token returns the time from one token to the next.
func (l liveLoad) token() time.Duration {
	if l.rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / l.rate)
}

// kept returns how many workers are kept free of backfill.
func (l liveLoad) kept() int { return (l.workers + 9) / 10 }

// capacity returns the calls a second that a backfill alone can make.
func (l liveLoad) capacity() float64 {
	most := float64(l.workers-l.kept()) / l.call.Seconds()
	if l.rate > 0 {
		most = min(most, l.rate)
	}
	return most
}

// backlog returns the size of a backfill that outlasts the live decisions.
func (l liveLoad) backlog() int {
	lasts := warmUp + time.Duration(l.n+1)*(l.least+l.spread/2)
	return int(1.2*lasts.Seconds()*(l.capacity()+float64(l.kept())/l.call.Seconds())) + 6000
}

// warmUp is the time after which a backfill runs at its full speed.
const warmUp = 10 * time.Second

// waits runs the live decisions beside a backlog, and returns the time from each
// record to its call, by moment, the shortest first.
func (l liveLoad) waits(t *testing.T, backlog int) (groups [][]time.Duration) {
	t.Helper()
	if fixture.RaceEnabled() {
		l.n = min(l.n, 100) // the detector slows a world down tenfold
	}
	inWorld(t, sandbox.Options{Latency: l.call}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.Workers = l.rate, l.workers
		w.send(passes(w.cfg.Kafka.Topics.Backfill, backlog)...)
		m := w.start()
		m.awaitJoined()
		time.Sleep(warmUp)
		began, before := time.Now(), len(w.allCalls())

		const first = 1_000_000 // of the live decisions' tasks
		r := rand.New(rand.NewPCG(4, 5))
		sentAt := make(map[decision.Task]time.Time)
		for group := range l.n {
			time.Sleep(l.least + time.Duration(r.Int64N(int64(l.spread))))
			for i := range l.atOnce {
				d := decisionOn(w.cfg.Kafka.Topics.Decisions, task(first+group*l.atOnce+i, i), decision.CompletedPass)
				sentAt[d.task] = time.Now()
				w.send(d)
			}
		}
		w.await(time.Minute, "every live decision is settled", func() bool {
			return m.metric("verdict_decisions_total", "lane", "live") == float64(l.n*l.atOnce)
		})
		calls := w.allCalls()
		used := float64(len(calls)-before) / time.Since(began).Seconds()
		t.Logf("%.1f of at least %.1f calls a second", used, l.capacity())
		if backlog > 0 && used < 0.97*l.capacity() {
			t.Errorf("%.1f of %.1f calls a second are unused", l.capacity()-used, l.capacity())
		}
		if done := m.metric("verdict_decisions_total", "lane", "backfill"); backlog > 0 && int(done)+5000 > backlog {
			t.Errorf("%v of the backlog's %d are done, so it may not have lasted", done, backlog)
		}
		m.stop()

		arrived := make(map[decision.Task]time.Time)
		for _, c := range calls {
			arrived[decision.NewTask(c.ProfileID, c.TaskID)] = c.Time
		}
		for group := range l.n {
			var waits []time.Duration
			for i := range l.atOnce {
				d := task(first+group*l.atOnce+i, i)
				waits = append(waits, arrived[d].Sub(sentAt[d]))
			}
			slices.Sort(waits)
			groups = append(groups, waits)
		}
	})
	return groups
}

// TestLiveWaitsForOneTokenAndOneWorker runs on the bubble's clock, where only tokens,
// workers and Kafka take time. Beside a backfill at full speed, a live decision waits
// for one token more than alone: the one that was already given away. Only where more
// live decisions come at once than workers are kept free does one wait for a worker,
// for at most one call, and for the tokens of those before it.
func TestLiveWaitsForOneTokenAndOneWorker(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]liveLoad{
		"the rate is the bound":           {rate: 50, workers: 64, call: 300 * time.Millisecond, n: 400, atOnce: 1, least: 50 * time.Millisecond, spread: 300 * time.Millisecond},
		"the workers are the bound":       {rate: 0, workers: 20, call: 2 * time.Second, n: 200, atOnce: 1, least: time.Second, spread: time.Second},
		"rate and workers, nearly":        {rate: 100, workers: 20, call: 200 * time.Millisecond, n: 400, atOnce: 1, least: 100 * time.Millisecond, spread: 300 * time.Millisecond},
		"calls as slow as they may be":    {rate: 50, workers: 64, call: time.Minute, n: 60, atOnce: 1, least: 9 * time.Second, spread: 5 * time.Second},
		"more at once than kept workers":  {rate: 0, workers: 20, call: 2 * time.Second, n: 60, atOnce: 9, least: 5 * time.Second, spread: 5 * time.Second},
		"more at once than the burst has": {rate: 50, workers: 64, call: 300 * time.Millisecond, n: 60, atOnce: 15, least: time.Second, spread: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone, under := load.waits(t, 0), load.waits(t, load.backlog())
			fetched := slices.Max(nthWaits(alone, 0)) // Kafka takes this long; there is no wait for a token
			for group, waits := range under {
				for i, wait := range waits {
					bound := fetched + time.Duration(i+1+(i+1)/9)*load.token() // every tenth token may be the backfill's share
					if i >= load.kept() {
						bound += load.call
					}
					if wait > bound {
						t.Errorf("live decision %d.%d waited %v for its call, want at most %v (alone %v)", group, i, wait, bound, alone[group][i])
					}
				}
			}
			for i := range load.atOnce {
				a, u := nthWaits(alone, i), nthWaits(under, i)
				t.Logf("%d before it: p50 alone %v, beside the backfill %v; p99 alone %v, beside the backfill %v", i, percentile(a, 50), percentile(u, 50), percentile(a, 99), percentile(u, 99))
			}
		})
	}
}

// nthWaits returns the n-th wait of each group.
func nthWaits(groups [][]time.Duration, n int) []time.Duration {
	all := make([]time.Duration, len(groups))
	for i, g := range groups {
		all[i] = g[n]
	}
	return all
}

func percentile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*percent/100]
}

// TestBackfillGetsItsShareAndWhatLiveLeaves sends live decisions from none to twice
// the rate.
func TestBackfillGetsItsShareAndWhatLiveLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate, live, share float64 // calls a second; live decisions a second; the minimum share
		workers           int
		backfill          float64 // calls a second, wanted
	}{
		{50, 0, 0.1, 64, 50},
		{50, 20, 0.1, 64, 30},
		{50, 44, 0.1, 64, 6},
		{50, 48, 0.1, 64, 5}, // live alone would use nearly all
		{50, 100, 0.1, 64, 5},
		{50, 100, 0.4, 64, 20},
		{50, 100, 0, 64, 0},
		{0, 100, 0.1, 10, 5}, // 10 workers, 200ms each: 50 calls a second
		{0, 0, 0.1, 10, 45},  // one worker is kept free
		{0, 20, 0.1, 10, 30}, // live takes four workers
	} {
		t.Run(fmt.Sprintf("rate %v, workers %d, live %v, share %v", c.rate, c.workers, c.live, c.share), func(t *testing.T) {
			t.Parallel()
			inWorld(t, sandbox.Options{Latency: 200 * time.Millisecond}, func(t *testing.T, w *world) {
				w.cfg.API.RateLimit = c.rate
				w.send(passes(w.cfg.Kafka.Topics.Backfill, 8000)...)
				m := w.start(func(cfg *configs.Config) {
					cfg.Processor.BackfillMinShare, cfg.Processor.Workers = c.share, c.workers
				})
				m.awaitJoined()
				calls := func(lane string) float64 { return m.metric("verdict_decisions_total", "lane", lane) }
				const seconds, settling = 20.0, 10.0
				began, sent := time.Now(), 0
				var live, backfill float64
				for time.Since(began).Seconds() < settling+seconds {
					if live == 0 && backfill == 0 && time.Since(began).Seconds() >= settling {
						live, backfill = calls("live"), calls("backfill")
					}
					for ; float64(sent) < c.live*time.Since(began).Seconds(); sent++ {
						w.send(decisionOn(w.cfg.Kafka.Topics.Decisions, task(1_000_000+sent, sent), decision.CompletedPass))
					}
					time.Sleep(10 * time.Millisecond)
				}
				live, backfill = (calls("live")-live)/seconds, (calls("backfill")-backfill)/seconds
				if backfill < c.backfill-0.5 || backfill > c.backfill+0.5 {
					t.Errorf("the backfill got %.2f calls a second and live %.2f, want %v for the backfill", backfill, live, c.backfill)
				}
				m.stop()
			})
		})
	}
}

func TestLiveGoesBeforeBackfill(t *testing.T) {
	t.Parallel()
	inWorld(t, sandbox.Options{Latency: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit = 50
		var backfill, live []outgoing
		for i := range 2000 {
			backfill = append(backfill, decisionOn(w.cfg.Kafka.Topics.Backfill, task(i, i), decision.CompletedPass))
			live = append(live, decisionOn(w.cfg.Kafka.Topics.Decisions, task(5000+i, 5000+i), decision.CompletedPass))
		}
		w.send(backfill...)
		m := w.start()
		w.await(time.Minute, "backfill runs", func() bool { return m.metric("verdict_decisions_total", "lane", "backfill") > 50 })

		// A live decision now and then waits for one token.
		for i := range 20 {
			began := time.Now()
			before := m.metric("verdict_decisions_total", "lane", "live")
			w.send(live[i])
			w.await(time.Minute, "settled", func() bool { return m.metric("verdict_decisions_total", "lane", "live") > before })
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("live decision %d took %v beside a backfill", i, took)
			}
		}
		// With more live decisions than the rate, the backfill keeps its tenth.
		w.send(live[20:]...)
		time.Sleep(time.Second)
		liveBefore, backfillBefore := m.metric("verdict_decisions_total", "lane", "live"), m.metric("verdict_decisions_total", "lane", "backfill")
		time.Sleep(20 * time.Second)
		l, b := m.metric("verdict_decisions_total", "lane", "live")-liveBefore, m.metric("verdict_decisions_total", "lane", "backfill")-backfillBefore
		if share := b / (l + b); share < 0.09 || share > 0.11 {
			t.Errorf("the backfill got %.3f of %v calls, want a tenth", share, l+b)
		}
		w.awaitAll(5 * time.Minute)
		m.stop()
		w.checkSettledOnce()
		w.checkCommitted()
	})
}
