package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
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

// soakFault is something that goes wrong for a while.
type soakFault struct {
	name       string
	begin, end func()
	longer     time.Duration
}

// fault draws the next. The third member is never ended: it is the one that is
// watched for growth.
func (s *soak) fault() soakFault {
	i := s.faulty.IntN(2)
	some := s.faulty.IntN(3)
	none := func() {}
	answers := func(name string, share float64, f sandbox.Fault) soakFault {
		draw := rand.New(rand.NewPCG(s.faulty.Uint64(), 3))
		var mu sync.Mutex
		return soakFault{name, func() {
			s.setFaults(func(c sandbox.Call) sandbox.Fault {
				mu.Lock()
				defer mu.Unlock()
				if c.Operation == passfort.OpWhoAmI || draw.Float64() > share {
					return sandbox.Fault{}
				}
				return f
			})
		}, func() { s.setFaults(nil) }, 0}
	}
	killed := func() soakFault {
		return soakFault{fmt.Sprintf("member %d is killed", i), func() { s.lossy++; s.members[i].kill() }, func() { s.launch(i) }, 0}
	}
	faults := []func() soakFault{
		killed, killed,
		func() soakFault {
			return soakFault{fmt.Sprintf("member %d is stopped", i), func() { s.members[i].stop() }, func() { s.launch(i) }, 0}
		},
		func() soakFault { // a pause of its machine, half of the time beyond its session
			m, longer := s.members[some], 6*time.Second*time.Duration(s.faulty.IntN(2))
			return soakFault{fmt.Sprintf("member %d stands still", some), func() { s.lossy++; m.signal(syscall.SIGSTOP) }, func() { m.signal(syscall.SIGCONT) }, longer}
		},
		func() soakFault { return answers("half of the API's answers are 503", 0.5, answer(503)) },
		func() soakFault { return answers("all of the API's answers are 500", 1, answer(500)) },
		func() soakFault {
			return answers("a tenth of the API's answers are lost", 0.1, sandbox.Fault{Do: sandbox.Cut, Act: true})
		},
		func() soakFault {
			return answers("a tenth of the API's answers never come", 0.1, sandbox.Fault{Do: sandbox.Hang, Act: true})
		},
		func() soakFault {
			f := answer(429)
			f.Header = http.Header{"Retry-After": {"1"}}
			return answers("the API asks to wait", 0.5, f)
		},
		func() soakFault {
			return soakFault{"the API key is refused, and another one comes", func() { s.api.SetKey("another") }, func() {
				s.writeKey("another")
				s.feed(500 * time.Millisecond)
				s.writeKey("sandbox")
				s.api.SetKey("sandbox")
			}, 0}
		},
		func() soakFault {
			return soakFault{"connections to the API break", func() { s.gate.reset(true) }, s.gate.mend, 0}
		},
		func() soakFault { return soakFault{"connections to the API stall", s.gate.freeze, s.gate.mend, 0} },
		func() soakFault {
			return soakFault{"connections to the API are late", func() { s.gate.slow(200 * time.Millisecond) }, s.gate.mend, 0}
		},
	}
	if s.cluster != nil {
		kafka := func(name string, spoil func(*proxy)) func() soakFault {
			return func() soakFault {
				return soakFault{name, func() {
					s.lossy += len(s.members)
					for _, p := range s.kafka {
						spoil(p)
					}
				}, func() {
					for _, p := range s.kafka {
						p.mend()
					}
				}, 0}
			}
		}
		faults = append(faults,
			kafka("connections to Kafka break", func(p *proxy) { p.reset(true) }),
			kafka("connections to Kafka stall", func(p *proxy) { p.freeze() }),
			kafka("connections to Kafka are late", func(p *proxy) { p.slow(100 * time.Millisecond) }),
			func() soakFault { return soakFault{"the partitions' leaders move", s.cluster.MoveLeaders, none, 0} },
			func() soakFault {
				return soakFault{"the group's coordinator moves", func() { s.lossy++; s.cluster.MoveCoordinators() }, none, 0}
			},
		)
	}
	return faults[s.faulty.IntN(len(faults))]()
}

func answer(status int) sandbox.Fault { return sandbox.Fault{Do: sandbox.Answer, Status: status} }

// check checks what must hold in the end.
func (s *soak) check() {
	s.t.Helper()
	// The first outcome of each decision, in the order of the results' partitions:
	// those of a task are in one, since their key is the profile.
	seen := make(map[decision.Origin]bool)
	last := make(map[decision.Task]decision.Origin)
	again, outOfOrder := 0, 0
	names := make(map[string]int)
	for _, o := range s.published() {
		d, ok := s.sent[o.at]
		switch before := last[d.task]; {
		case !ok:
			s.t.Errorf("%v is settled (%s), and was never sent", o.at, o.name)
		case seen[o.at]:
			again++
		default:
			names[o.name]++
			if before.Offset > o.at.Offset {
				outOfOrder++
				s.t.Errorf("task %v: the decision at %v was settled before the one at %v", d.task, before, o.at)
			}
			last[d.task] = o.at
		}
		seen[o.at] = true
	}
	lost := 0
	final := make(map[decision.Task]decision.Origin)
	for at, d := range s.sent {
		if !seen[at] {
			lost++
			s.t.Errorf("%v was never settled", at)
		}
		if f, ok := final[d.task]; !ok || f.Offset < at.Offset {
			final[d.task] = at
		}
	}
	for task, at := range final {
		if got, want := s.api.State(task.ProfileID, task.TaskID), s.sent[at].state; got != want {
			s.t.Errorf("task %v is %s in the end, want %s", task, got, want)
		}
	}
	stats := s.api.Stats()
	most := s.lossy * (5*workers + 60)
	s.t.Logf("%d decisions: %v; %d lost, %d out of order, %d settled again of %d at the most by %d faults that may cause it; %d completions at the API",
		len(s.sent), names, lost, outOfOrder, again, most, s.lossy, stats.Completions)
	if again > most {
		s.t.Errorf("%d decisions were settled again, want at most %d", again, most)
	}
	for name, n := range names {
		if name != "completed" && name != "already_complete" {
			s.t.Errorf("%d decisions ended as %s", n, name)
		}
	}
}

// sizes are a member's goroutines and the memory that its heap uses, in MiB.
type size struct{ goroutines, heap float64 }

func (s *soak) sizes() (all []size) {
	for _, m := range s.members {
		all = append(all, size{m.metric("go_goroutines"), m.metric("go_memstats_heap_inuse_bytes") / (1 << 20)})
	}
	return all
}

// checkSizes compares the member that lived through all with what it was at its
// start.
func (s *soak) checkSizes(early []size) {
	s.t.Helper()
	const survivor = 2
	var now size
	grown := func() bool {
		now = s.sizes()[survivor]
		return now.goroutines > early[survivor].goroutines+60 || now.heap > early[survivor].heap+64
	}
	await(s.t, "the member that lived through all is as small as at its start", func() bool { return !grown() })
	s.t.Logf("the member that lived through all had %v goroutines and a heap of %.1f MiB, and has %v and %.1f MiB",
		early[survivor].goroutines, early[survivor].heap, now.goroutines, now.heap)
}
