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
	soakFor  = flag.Duration("soak", 6*time.Second, "how long TestSoak makes faults")
	soakSeed = flag.Uint64("seed", 42, "of TestSoak's faults; 0: by the clock")
)

// soak is three Verdicts, a stream of decisions, and one fault after the other.
type soak struct {
	*scene
	faulty  *rand.Rand // draws the faults: the same for a seed, however busy the machine is
	fed     *rand.Rand // draws the decisions
	members [3]*process
	starts  int
	keyFile string
	lossy   int // faults after which calls may be repeated
}

// Decisions go to few tasks, so that each has many. Those of a task are all in
// one lane, in which they have an order.
const (
	soakTasks    = 400
	soakProfiles = 150
	soakRate     = 150 // decisions a second
)

// TestSoak makes faults by a seed, and checks at the end what must hold whatever
// happened: every decision settled, those of a task in their order, repeats
// bounded by the faults that can cause them, and no member grown.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with: make soak DURATION=%v SEED=%d", *soakFor, seed)
	keyFile := filepath.Join(t.TempDir(), "key")
	s := &soak{
		scene:  newScene(t, setting{api: calm, brokers: 3, proxies: true, key: keyFile}),
		faulty: rand.New(rand.NewPCG(seed, 1)), fed: rand.New(rand.NewPCG(seed, 2)), keyFile: keyFile,
	}
	s.writeKey("sandbox")
	s.env = append(s.env,
		"VERDICT_API_RATE_LIMIT=300", "VERDICT_API_BURST=50", "VERDICT_API_TIMEOUT=2s",
		// An answer that is lost and looked after must not become a conflict with
		// the decision that a repeat undid, nor the last attempt.
		"VERDICT_PROCESSOR_ON_CONFLICT=overwrite", "VERDICT_PROCESSOR_MAX_ATTEMPTS=50",
	)
	for i := range s.members {
		s.launch(i)
	}
	for _, m := range s.members {
		m.ready(0)
	}
	early := s.sizes()

	began := time.Now()
	for time.Since(began) < *soakFor {
		s.feed(time.Second)
		fault := s.fault()
		t.Logf("%6v %s", time.Since(began).Round(100*time.Millisecond), fault.name)
		lasts := time.Duration(s.faulty.Int64N(int64(3*time.Second))) + 500*time.Millisecond + fault.longer
		s.send(s.draw(soakRate / 2)...) // so that it meets calls in flight
		fault.begin()
		s.feed(lasts)
		fault.end()
	}
	t.Logf("%6v all is well again; %d decisions were sent", time.Since(began).Round(100*time.Millisecond), len(s.sent))
	s.awaitAll()
	for i, m := range s.members {
		await(t, fmt.Sprintf("member %d is not paused", i), func() bool { return m.metric("verdict_paused") == 0 })
	}
	s.checkSizes(early)
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

func (s *soak) launch(i int) {
	s.starts++
	s.members[i] = s.start(fmt.Sprintf("member %d, start %d", i, s.starts))
}

// feed sends decisions for a while.
func (s *soak) feed(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.send(s.draw(soakRate / 10)...)
		time.Sleep(100 * time.Millisecond)
	}
}

// draw makes decisions up.
func (s *soak) draw(n int) []outgoing {
	batch := make([]outgoing, n)
	for i := range batch {
		n := s.fed.IntN(soakTasks)
		topic := s.topics.decisions
		if n%3 == 0 {
			topic = s.topics.backfill
		}
		state := []decision.State{decision.CompletedPass, decision.CompletedFail}[s.fed.IntN(2)]
		batch[i] = outgoing{topic: topic, task: task(n%soakProfiles, n), state: state}
	}
	return batch
}
