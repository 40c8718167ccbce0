package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// soakFault is something that goes wrong for a while.
type soakFault struct {
	name       string
	begin, end func()
	extra      time.Duration // how much longer than usual it lasts
}

// fault draws the next fault.
func (s *soak) fault() soakFault {
	i, other := s.faultRand.IntN(2), s.faultRand.IntN(3)
	faults := slices.Concat(s.memberFaults(i, other), s.answerFaults(), s.apiFaults())
	if s.cluster != nil {
		faults = append(faults, s.kafkaFaults()...)
	}
	return faults[s.faultRand.IntN(len(faults))]()
}

// memberFaults are faults of processes. The last member is never stopped or killed, so that
// it can be checked for growth: i is another member, other may be the last.
func (s *soak) memberFaults(i, other int) []func() soakFault {
	kill := func() soakFault {
		return soakFault{fmt.Sprintf("member %d is killed", i), func() { s.lossy++; s.members[i].kill() }, func() { s.launch(i) }, 0}
	}
	return []func() soakFault{
		kill, kill,
		func() soakFault {
			return soakFault{fmt.Sprintf("member %d is stopped", i), func() { s.members[i].stop() }, func() { s.launch(i) }, 0}
		},
		func() soakFault { // half of the time for longer than its session
			m, extra := s.members[other], 6*time.Second*time.Duration(s.faultRand.IntN(2))
			return soakFault{fmt.Sprintf("member %d is suspended", other), func() { s.lossy++; m.signal(syscall.SIGSTOP) }, func() { m.signal(syscall.SIGCONT) }, extra}
		},
	}
}

// answerFaults are bad or missing answers of the API.
func (s *soak) answerFaults() []func() soakFault {
	answers := func(name string, share float64, f sandbox.Fault) func() soakFault {
		return func() soakFault {
			draw := rand.New(rand.NewPCG(s.faultRand.Uint64(), 3))
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
	}
	status := func(status int) sandbox.Fault { return sandbox.Fault{Do: sandbox.Answer, Status: status} }
	throttled := status(429)
	throttled.Header = http.Header{"Retry-After": {"1"}}
	return []func() soakFault{
		answers("half of the API's answers are 503", 0.5, status(503)),
		answers("all of the API's answers are 500", 1, status(500)),
		answers("a tenth of the API's answers are lost", 0.1, sandbox.Fault{Do: sandbox.Cut, Act: true}),
		answers("a tenth of the API's answers never come", 0.1, sandbox.Fault{Do: sandbox.Hang, Act: true}),
		answers("half of the API's answers are 429", 0.5, throttled),
	}
}

// apiFaults are faults of the API key and of the connections to the API.
func (s *soak) apiFaults() []func() soakFault {
	return []func() soakFault{
		func() soakFault {
			return soakFault{"the API refuses the key", func() { s.api.SetKey("another") }, func() {
				s.writeKey("another")
				s.feed(500 * time.Millisecond)
				s.writeKey("sandbox")
				s.api.SetKey("sandbox")
			}, 0}
		},
		func() soakFault {
			return soakFault{"connections to the API break", func() { s.apiProxy.reset(true) }, s.apiProxy.restore, 0}
		},
		func() soakFault {
			return soakFault{"connections to the API stall", s.apiProxy.freeze, s.apiProxy.restore, 0}
		},
		func() soakFault {
			return soakFault{"connections to the API are slow", func() { s.apiProxy.slow(200 * time.Millisecond) }, s.apiProxy.restore, 0}
		},
	}
}

// kafkaFaults are faults of the embedded Kafka and of the connections to it.
func (s *soak) kafkaFaults() []func() soakFault {
	connections := func(name string, disturb func(*proxy)) func() soakFault {
		return func() soakFault {
			return soakFault{name, func() {
				s.lossy += len(s.members)
				for _, p := range s.kafkaProxies {
					disturb(p)
				}
			}, func() {
				for _, p := range s.kafkaProxies {
					p.restore()
				}
			}, 0}
		}
	}
	nothing := func() {}
	return []func() soakFault{
		connections("connections to Kafka break", func(p *proxy) { p.reset(true) }),
		connections("connections to Kafka stall", func(p *proxy) { p.freeze() }),
		connections("connections to Kafka are slow", func(p *proxy) { p.slow(100 * time.Millisecond) }),
		func() soakFault { return soakFault{"partition leaders move", s.cluster.MoveLeaders, nothing, 0} },
		func() soakFault {
			return soakFault{"the group's coordinator moves", func() { s.lossy++; s.cluster.MoveCoordinators() }, nothing, 0}
		},
	}
}
