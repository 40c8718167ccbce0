package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
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
