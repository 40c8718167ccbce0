package integration

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKillAtRandomMomentsRepeatsNoMoreThanIsBound kills the only member again
// and again. Of what was called before a kill, the next member may call again
// what was in flight, what waited for its acknowledgement, and what was settled
// within one commit interval.
func TestKillAtRandomMomentsRepeatsNoMoreThanIsBound(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newScene(t, setting{api: calm})
	const kills = 3
	s.send(s.passes(s.topics.decisions, 0, 900)...)
	s.send(s.passes(s.topics.backfill, 5000, 300)...)
	rate := []string{
		"VERDICT_API_RATE_LIMIT=200", "VERDICT_KAFKA_SESSION_TIMEOUT=4s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=4s", "VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=900ms",
	}
	bound := 0
	for range kills {
		p := s.start("to be killed", rate...)
		calls := len(s.completions())
		await(t, "it works", func() bool { return len(s.completions()) > calls+50 })
		time.Sleep(time.Duration(r.Int64N(int64(800 * time.Millisecond)))) // the random moment
		before := time.Now()
		p.kill()
		// The machine may be busy: a commit is late by as much as that makes it.
		const late = 300 * time.Millisecond
		within := s.callsSince(before.Add(-commitInterval - late))
		bound += within + workers
	}
	p := s.start("the last", rate...)
	s.awaitAll()
	p.stop()
	s.outcomes() // none is lost
	again := len(s.completions()) - len(s.sent)
	t.Logf("%d kills: %d calls made again, the bound is %d", kills, again, bound)
	if again > bound {
		t.Errorf("%d calls were made again after %d kills, want at most %d", again, kills, bound)
	}
}
