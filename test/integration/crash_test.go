package integration

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKillAtRandomMomentsRepeatsFewCalls kills the only member several times. After each
// kill the next member may repeat the calls that were in flight, those that waited for an
// acknowledgement, and those that were settled within one commit interval.
func TestKillAtRandomMomentsRepeatsFewCalls(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newScene(t, sceneOptions{api: fastAPI})
	const kills = 3
	s.send(s.passing(s.topics.decisions, 0, 900)...)
	s.send(s.passing(s.topics.backfill, 5000, 300)...)
	env := []string{
		"VERDICT_API_RATE_LIMIT=200", "VERDICT_KAFKA_SESSION_TIMEOUT=4s", "VERDICT_KAFKA_REBALANCE_TIMEOUT=4s", "VERDICT_PROCESSOR_SHUTDOWN_TIMEOUT=900ms",
	}
	bound := 0
	for range kills {
		p := s.start("killed", env...)
		calls := len(s.completions())
		await(t, "calls are made", func() bool { return len(s.completions()) > calls+50 })
		time.Sleep(time.Duration(r.Int64N(int64(800 * time.Millisecond)))) // the random moment
		before := time.Now()
		p.kill()
		// On a busy machine commits are late.
		const late = 300 * time.Millisecond
		bound += s.callsSince(before.Add(-commitInterval-late)) + workers
	}
	p := s.start("last", env...)
	s.awaitAll()
	p.stop()
	s.outcomes() // checks that none is lost
	repeats := len(s.completions()) - len(s.sent)
	t.Logf("%d kills: %d calls repeated, at most %d allowed", kills, repeats, bound)
	if repeats > bound {
		t.Errorf("%d calls were repeated after %d kills, want at most %d", repeats, kills, bound)
	}
}
