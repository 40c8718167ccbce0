package health

import (
	"testing"
	"time"
)

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker()
	late, _ := b.Acquire(now)
	opened := 0
	for range window {
		p, ok := b.Acquire(now)
		if !ok {
			break
		}
		if b.Release(p, Fails, now) == Opened {
			opened++
		}
	}
	if ok, again := b.Ready(now); ok || again != ProbeEvery || opened != 1 {
		t.Fatalf("ready %v, again in %v, opened %d times", ok, again, opened)
	}
	if b.Valid(late) {
		t.Error("a permit from before the outage is still valid")
	}
	if b.Release(late, Works, now) != None || b.Closed() {
		t.Error("a call from before the outage counted")
	}
	for range 3 {
		now = now.Add(ProbeEvery)
		p, ok := b.Acquire(now)
		if !ok || !p.Probe || p.Outage != 1 || !b.Valid(p) {
			t.Fatalf("permit %+v, %v, want a probe", p, ok)
		}
		if _, second := b.Acquire(now); second {
			t.Fatal("two probes at once")
		}
		if b.Release(p, Fails, now) != Confirmed {
			t.Fatal("a failed probe did not confirm the outage")
		}
		if _, ok := b.Acquire(now); ok {
			t.Fatal("a call right after a failed probe")
		}
	}
	now = now.Add(ProbeEvery)
	p, _ := b.Acquire(now)
	if b.Release(p, Neutral, now) != None {
		t.Error("a neutral probe changed something")
	}
	if _, ok := b.Acquire(now); ok {
		t.Error("a neutral probe was repeated at once")
	}
	now = now.Add(ProbeEvery)
	p, _ = b.Acquire(now)
	b.Unused(p)
	if ok, again := b.Ready(now); !ok || again != 0 {
		t.Errorf("after an unused probe: ready %v, again in %v", ok, again)
	}
	if p, _ = b.Acquire(now); b.Release(p, Works, now) != Closed || !b.Closed() {
		t.Error("a successful probe did not close the breaker")
	}
}

func TestBreakerStaysClosedWhileMostCallsSucceed(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker()
	for i := range 10_000 {
		p, ok := b.Acquire(now)
		if !ok {
			t.Fatalf("open after %d calls of which every third failed", i)
		}
		signal := Works
		if i%3 == 0 {
			signal = Fails
		}
		b.Release(p, signal, now)
	}
}

func TestBreakerStartsAfreshAfterAnOutage(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker()
	fail := func(n int) (last Change) {
		for range n {
			p, _ := b.Acquire(now)
			last = b.Release(p, Fails, now)
		}
		return last
	}
	if fail(failures) != Opened {
		t.Fatal("not opened")
	}
	now = now.Add(ProbeEvery)
	p, _ := b.Acquire(now)
	b.Release(p, Works, now)
	if fail(failures-1) != None || !b.Closed() {
		t.Error("failures from before the outage counted after it")
	}
	if fail(1) != Opened {
		t.Error("a second outage was not noticed")
	}
}
