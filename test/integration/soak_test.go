package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"verdict/internal/decision"
)

var (
	soakFor  = flag.Duration("soak", 6*time.Second, "how long TestSoak causes faults")
	soakSeed = flag.Uint64("seed", 42, "seed of TestSoak; 0 means a new one")
)

// soak is three members, a stream of decisions, and one fault after the other.
type soak struct {
	*scene
	faultRand    *rand.Rand // draws the faults, the same ones for the same seed
	decisionRand *rand.Rand // draws the decisions
	members      [3]*process
	starts       int
	keyFile      string
	lossy        int // faults that may have repeated calls
}

// There are few tasks, so that each has many decisions. All decisions on a task are in one
// lane, where they have an order.
const (
	soakTasks    = 400
	soakProfiles = 150
	soakRate     = 150 // decisions per second
)

// TestSoak causes faults that depend on a seed. At the end every decision must be settled,
// those on a task in order, with repeats bounded by the number of faults that can cause
// them, and without growth of the processes.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with: make soak DURATION=%v SEED=%d", *soakFor, seed)
	keyFile := filepath.Join(t.TempDir(), "key")
	s := &soak{
		scene:     newScene(t, sceneOptions{api: fastAPI, brokers: 3, proxies: true, keyFile: keyFile}),
		faultRand: rand.New(rand.NewPCG(seed, 1)), decisionRand: rand.New(rand.NewPCG(seed, 2)), keyFile: keyFile,
	}
	s.writeKey("sandbox")
	s.env = append(s.env,
		"VERDICT_API_RATE_LIMIT=300", "VERDICT_API_BURST=50", "VERDICT_API_TIMEOUT=2s",
		// After a lost answer, the look at the task may find the state of a repeated older
		// decision. It must not end as a conflict, and attempts must suffice.
		"VERDICT_PROCESSOR_ON_CONFLICT=overwrite", "VERDICT_PROCESSOR_MAX_ATTEMPTS=50",
	)
	for i := range s.members {
		s.launch(i)
	}
	for _, m := range s.members {
		m.awaitPartitions(0)
	}
	sizes := s.sizes()

	start := time.Now()
	for time.Since(start) < *soakFor {
		s.feed(time.Second)
		fault := s.fault()
		t.Logf("%6v %s", time.Since(start).Round(100*time.Millisecond), fault.name)
		duration := time.Duration(s.faultRand.Int64N(int64(3*time.Second))) + 500*time.Millisecond + fault.extra
		s.send(s.draw(soakRate / 2)...) // so that calls are in flight when the fault begins
		fault.begin()
		s.feed(duration)
		fault.end()
	}
	t.Logf("%6v no more faults; %d decisions were sent", time.Since(start).Round(100*time.Millisecond), len(s.sent))
	s.awaitAll()
	for i, m := range s.members {
		await(t, fmt.Sprintf("the pauses of member %d are over", i), func() bool { return m.metric("verdict_paused") == 0 })
	}
	s.checkSizes(sizes)
	for _, m := range s.members {
		m.stop()
	}
	s.check()
}

func (s *soak) writeKey(key string) {
	if err := os.WriteFile(s.keyFile, []byte(key), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// launch starts member i.
func (s *soak) launch(i int) {
	s.starts++
	s.members[i] = s.start(fmt.Sprintf("member %d, start %d", i, s.starts))
}

// feed sends decisions for d.
func (s *soak) feed(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.send(s.draw(soakRate / 10)...)
		time.Sleep(100 * time.Millisecond)
	}
}

// draw returns n random decisions.
func (s *soak) draw(n int) []outgoing {
	batch := make([]outgoing, n)
	for i := range batch {
		n := s.decisionRand.IntN(soakTasks)
		topic := s.topics.decisions
		if n%3 == 0 {
			topic = s.topics.backfill
		}
		state := []decision.State{decision.CompletedPass, decision.CompletedFail}[s.decisionRand.IntN(2)]
		batch[i] = outgoing{topic: topic, task: task(n%soakProfiles, n), state: state}
	}
	return batch
}
