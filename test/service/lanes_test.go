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
)

// liveLoad is live decisions that come at random moments, beside a backfill or
// without one.
type liveLoad struct {
	rate          float64 // calls a second; 0: unlimited
	workers       int
	call          time.Duration // that each takes
	n             int           // of times at which live decisions come
	atOnce        int           // live decisions at each of these times
	least, spread time.Duration // from one of these times to the next: least, and up to spread more
}

// token is the time from one token to the next.
func (l liveLoad) token() time.Duration {
	if l.rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / l.rate)
}

// kept is how many workers are kept free of backfill.
func (l liveLoad) kept() int { return (l.workers + 9) / 10 }

// capacity is how many calls a second there can be when backfill has all that it
// may have.
func (l liveLoad) capacity() float64 {
	most := float64(l.workers-l.kept()) / l.call.Seconds()
	if l.rate > 0 {
		most = min(most, l.rate)
	}
	return most
}

// waits carries the live decisions out beside a backlog of so many, and is the
// time from each record to its call: of each group that came at once the shortest
// first.
func (l liveLoad) waits(t *testing.T, backlog int) (groups [][]time.Duration) {
	t.Helper()
	if raceEnabled() {
		l.n = min(l.n, 100) // the detector slows a world down tenfold
	}
	inWorld(t, sandbox.Options{Latency: l.call}, func(t *testing.T, w *world) {
		w.cfg.API.RateLimit, w.cfg.Processor.Workers = l.rate, l.workers
		for chunk := range slices.Chunk(passes(w.cfg.Kafka.Topics.Backfill, backlog), 5000) {
			w.send(chunk...)
		}
		m := w.start()
		w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
		time.Sleep(10 * time.Second) // the backfill is at its full speed
		began, before := time.Now(), len(w.allCalls())

		const first = 1_000_000 // of the live decisions' tasks
		r := rand.New(rand.NewPCG(4, 5))
		sentAt := make(map[decision.Task]time.Time)
		for group := range l.n {
			time.Sleep(l.least + time.Duration(r.Int64N(int64(l.spread))))
			for i := range l.atOnce {
				d := decide(w.cfg.Kafka.Topics.Decisions, task(first+group*l.atOnce+i, i), decision.CompletedPass)
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
			t.Errorf("the backfill left %.1f of %.1f calls a second unused", l.capacity()-used, l.capacity())
		}
		if done := m.metric("verdict_decisions_total", "lane", "backfill"); backlog > 0 && int(done)+5000 > backlog {
			t.Errorf("%v of the backlog's %d are done: it did not last", done, backlog)
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

// TestALiveDecisionWaitsForOneTokenAndOneFreeWorker shows it on the bubble's
// clock, where nothing but tokens, workers and Kafka takes time: beside a
// backfill that uses all it may have, each live decision's call is made as soon
// as it would be without, but for the one token that was already given away. Only
// more live decisions at once than workers are kept free wait for a worker, at
// most for one call, and each for the tokens of those before it.
func TestALiveDecisionWaitsForOneTokenAndOneFreeWorker(t *testing.T) {
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
			alone, under := load.waits(t, 0), load.waits(t, 18_000)
			fetched := slices.Max(singles(alone, 0)) // what Kafka takes, and no token
			for group, waits := range under {
				for i, wait := range waits {
					bound := fetched + time.Duration(i+1+(i+1)/9)*load.token() // every tenth token may be the backfill's share
					if i >= load.kept() {
						bound += load.call
					}
					if wait > bound {
						t.Errorf("live decision %d.%d waited %v for its call, want at most %v; alone %v", group, i, wait, bound, alone[group][i])
					}
				}
			}
			for i := range load.atOnce {
				a, u := singles(alone, i), singles(under, i)
				t.Logf("%d before it: p50 alone %v, under %v; p99 alone %v, under %v", i, at(a, 50), at(u, 50), at(a, 99), at(u, 99))
			}
		})
	}
}

// singles are the waits of those with so many before them in their group.
func singles(groups [][]time.Duration, before int) []time.Duration {
	all := make([]time.Duration, len(groups))
	for i, g := range groups {
		all[i] = g[before]
	}
	return all
}

// at is a percentile.
func at(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*percent/100]
}

// TestTheBackfillKeepsItsShareAndTakesWhatLiveLeaves offers live decisions from
// none to twice what the rate has room for.
func TestTheBackfillKeepsItsShareAndTakesWhatLiveLeaves(t *testing.T) {
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
				for chunk := range slices.Chunk(passes(w.cfg.Kafka.Topics.Backfill, 10_000), 5000) {
					w.send(chunk...)
				}
				m := w.start(func(cfg *configs.Config) {
					cfg.Processor.BackfillMinShare, cfg.Processor.Workers = c.share, c.workers
				})
				w.await(time.Minute, "joined", func() bool { return m.metric("verdict_partitions_assigned") == 2*partitions })
				calls := func(lane string) float64 { return m.metric("verdict_decisions_total", "lane", lane) }
				seconds, settling := 60.0, 10.0
				if raceEnabled() {
					seconds = 20 // the detector slows a world down tenfold
				}
				began, sent := time.Now(), 0
				var live, backfill float64
				for time.Since(began).Seconds() < settling+seconds {
					if live == 0 && backfill == 0 && time.Since(began).Seconds() >= settling {
						live, backfill = calls("live"), calls("backfill")
					}
					for ; float64(sent) < c.live*time.Since(began).Seconds(); sent++ {
						w.send(decide(w.cfg.Kafka.Topics.Decisions, task(1_000_000+sent, sent), decision.CompletedPass))
					}
					time.Sleep(10 * time.Millisecond)
				}
				live, backfill = (calls("live")-live)/seconds, (calls("backfill")-backfill)/seconds
				if backfill < c.backfill-0.5 || backfill > c.backfill+0.5 {
					t.Errorf("the backfill had %.2f calls a second, and live %.2f; want %v for the backfill", backfill, live, c.backfill)
				}
				m.stop()
			})
		})
	}
}
