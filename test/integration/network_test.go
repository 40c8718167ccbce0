package integration

import (
	"testing"
	"time"
)

// TestBadConnectionsLoseNothing lets the sockets to Kafka and to the API stall,
// be late and break, for longer than it takes to notice.
func TestBadConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(p *proxy){
		"stalled": func(p *proxy) { p.freeze() },
		"late":    func(p *proxy) { p.slow(150 * time.Millisecond) },
		"reset":   func(p *proxy) { p.reset(true) },
	} {
		t.Run(name+", to Kafka", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, setting{api: calm, proxies: true})
			if s.kafka == nil {
				t.Skip("a real Kafka says its own addresses, past any proxy")
			}
			s.send(s.passes(s.topics.decisions, 0, 800)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=150")
			await(t, "it works", func() bool { return len(s.completions()) > 200 })
			for _, k := range s.kafka {
				spoil(k)
			}
			if name != "late" {
				await(t, "it is told that Kafka is away", func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 })
				calls := len(s.completions())
				time.Sleep(2 * time.Second)
				if more := len(s.completions()) - calls; more > workers {
					t.Errorf("%d calls while nothing could be settled", more)
				}
			} else {
				time.Sleep(2 * time.Second)
			}
			for _, k := range s.kafka {
				k.mend()
			}
			s.awaitAll()
			await(t, "it is not paused any more", func() bool { return p.metric("verdict_paused") == 0 })
			p.stop()
			// What was published or committed unheard is done again; a commit may be
			// older than all that the dispatcher let wait for its acknowledgement.
			again, most := s.again(), 5*workers+150
			t.Logf("%d decisions were settled again, of %d at the most", again, most)
			if again > most {
				t.Errorf("%d decisions were settled again, want at most %d", again, most)
			}
		})
		t.Run(name+", to the API", func(t *testing.T) {
			t.Parallel()
			s := newScene(t, setting{api: calm, proxies: true})
			s.send(s.passes(s.topics.decisions, 0, 800)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=150", "VERDICT_API_TIMEOUT=1s")
			await(t, "it works", func() bool { return len(s.completions()) > 200 })
			spoil(s.gate)
			if name != "late" {
				await(t, "it is told that the API is away", func() bool { return p.metric("verdict_paused", `cause="outage"`) == 1 })
			}
			time.Sleep(time.Second)
			s.gate.mend()
			s.awaitAll()
			if n := p.metric("verdict_paused"); n != 0 {
				t.Error("still paused")
			}
			p.stop()
			s.settledOnce()
			// A call that the proxy held back may arrive when it was given up and
			// looked after: nobody can know of that. Others are never repeated.
			most := 0
			if name == "stalled" {
				most = workers
			}
			if n := int(s.api.Stats().RepeatCompletions); n > most {
				t.Errorf("%d tasks were completed again, want at most %d", n, most)
			}
			if n := s.count(s.topics.deadLetters); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}
