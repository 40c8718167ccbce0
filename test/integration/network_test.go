package integration

import (
	"testing"
	"time"
)

// disturbances are what happens to connections.
var disturbances = map[string]func(*proxy){
	"stalled": func(p *proxy) { p.freeze() },
	"late":    func(p *proxy) { p.slow(150 * time.Millisecond) },
	"reset":   func(p *proxy) { p.reset(true) },
}

// TestBadConnectionsToKafkaLoseNothing makes the connections to Kafka stall, lag and
// break, for long enough to be noticed.
func TestBadConnectionsToKafkaLoseNothing(t *testing.T) {
	t.Parallel()
	for name, disturb := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{api: fastAPI, proxies: true})
			if s.kafkaProxies == nil {
				t.Skip("a real Kafka advertises its own addresses, so clients bypass a proxy")
			}
			s.send(s.passing(s.topics.decisions, 0, 800)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=150")
			await(t, "calls are made", func() bool { return len(s.completions()) > 200 })
			for _, k := range s.kafkaProxies {
				disturb(k)
			}
			if name != "late" {
				await(t, "the pause for Kafka", func() bool { return p.metric("verdict_paused", `cause="kafka"`) == 1 })
				calls := len(s.completions())
				time.Sleep(2 * time.Second)
				if n := len(s.completions()) - calls; n > workers {
					t.Errorf("%d calls while nothing could be settled, want at most %d", n, workers)
				}
			} else {
				time.Sleep(2 * time.Second)
			}
			for _, k := range s.kafkaProxies {
				k.restore()
			}
			s.awaitAll()
			await(t, "the pause is over", func() bool { return p.metric("verdict_paused") == 0 })
			p.stop()
			// Records and commits whose answer was lost are repeated. A lost commit can be
			// older than everything that waits for an acknowledgement.
			const bound = 5*workers + 150
			repeats := s.repeats()
			t.Logf("%d decisions were settled again, at most %d allowed", repeats, bound)
			if repeats > bound {
				t.Errorf("%d decisions were settled again, want at most %d", repeats, bound)
			}
		})
	}
}

// TestBadConnectionsToTheAPILoseNothing does the same to the connections to the API.
func TestBadConnectionsToTheAPILoseNothing(t *testing.T) {
	t.Parallel()
	for name, disturb := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, sceneOptions{api: fastAPI, proxies: true})
			s.send(s.passing(s.topics.decisions, 0, 800)...)
			p := s.start("verdict", "VERDICT_API_RATE_LIMIT=150", "VERDICT_API_TIMEOUT=1s")
			await(t, "calls are made", func() bool { return len(s.completions()) > 200 })
			disturb(s.apiProxy)
			if name != "late" {
				await(t, "the pause for an outage", func() bool { return p.metric("verdict_paused", `cause="outage"`) == 1 })
			}
			time.Sleep(time.Second)
			s.apiProxy.restore()
			s.awaitAll()
			if n := p.metric("verdict_paused"); n != 0 {
				t.Error("still paused")
			}
			p.stop()
			s.checkSettledOnce()
			// A call that the proxy delayed may arrive after Verdict gave it up and looked at
			// the task, which nothing can prevent. Other calls are never repeated.
			bound := 0
			if name == "stalled" {
				bound = workers
			}
			if n := int(s.api.Stats().RepeatCompletions); n > bound {
				t.Errorf("%d tasks were completed again, want at most %d", n, bound)
			}
			if n := s.count(s.topics.deadLetters); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}
