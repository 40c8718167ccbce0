package processor

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTheBreakerOpensProbesAndClosesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker()
		late, _ := b.acquire()
		changes := 0
		for range breakerCalls {
			p, ok := b.acquire()
			if !ok {
				break
			}
			if b.release(p, true, false) == opened {
				changes++
			}
		}
		if ok, again := b.ready(); ok || again != breakerDelay || changes != 1 {
			t.Fatalf("ready %v, again in %v, opened %d times", ok, again, changes)
		}
		if b.release(late, false, false) != unchanged {
			t.Error("a call from before the outage counted")
		}
		for range 3 {
			time.Sleep(breakerDelay)
			p, ok := b.acquire()
			if !ok || !p.probe {
				t.Fatal("no probe when it was due")
			}
			if _, second := b.acquire(); second {
				t.Fatal("two probes at once")
			}
			if b.release(p, true, false) != confirmed {
				t.Fatal("a probe that failed did not confirm the outage")
			}
			if _, ok := b.acquire(); ok {
				t.Fatal("a call right after a probe that failed")
			}
		}
		time.Sleep(breakerDelay)
		p, _ := b.acquire()
		if b.release(p, false, true) != unchanged {
			t.Error("a probe without a word about the API changed something")
		}
		if _, ok := b.acquire(); ok {
			t.Error("a probe that said nothing was repeated at once")
		}
		time.Sleep(breakerDelay)
		p, _ = b.acquire()
		b.unused(p)
		if ok, again := b.ready(); !ok || again != 0 {
			t.Errorf("after a probe that was not made: ready %v, again in %v", ok, again)
		}
		if p, _ = b.acquire(); b.release(p, false, false) != closed || !b.closed() {
			t.Error("a probe that succeeded did not close the breaker")
		}
	})
}

func TestAFewFailuresAmongManyCallsDoNotOpenTheBreaker(t *testing.T) {
	b := newBreaker()
	for i := range 10_000 {
		p, ok := b.acquire()
		if !ok {
			t.Fatalf("open after %d calls of which every third failed", i)
		}
		b.release(p, i%3 == 0, false)
	}
}
