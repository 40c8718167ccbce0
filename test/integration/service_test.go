package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"verdict/internal/passfort/sandbox"
)

// calm is an API that answers in some tens of milliseconds.
var calm = sandbox.Options{Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}

func TestBothLanesAreCarriedOut(t *testing.T) {
	t.Parallel()
	s := newScene(t, setting{api: calm})
	s.send(s.passes(s.topics.decisions, 0, 300)...)
	s.send(s.passes(s.topics.backfill, 1000, 300)...)
	p := s.start("verdict")
	s.awaitAll()
	if n := p.metric("verdict_paused"); n != 0 {
		t.Errorf("paused for %v causes", n)
	}
	p.stop()
	s.settledOnce()
	s.calledOnce()
	if n := s.count(s.topics.results); n != 600 {
		t.Errorf("%d results for 600 decisions", n)
	}
}

func TestAMemberThatJoinsAndOneThatLeavesRepeatNoCall(t *testing.T) {
	t.Parallel()
	s := newScene(t, setting{api: calm})
	s.send(s.passes(s.topics.decisions, 0, 2000)...)
	slow := "VERDICT_API_RATE_LIMIT=250"
	a := s.start("a", slow)
	await(t, "a works", func() bool { return s.count(s.topics.results) > 100 })
	b := s.start("b", slow)
	b.ready(0)
	a.ready(partitions) // half of both topics
	calls := len(s.completions())
	await(t, "both work", func() bool { return len(s.completions()) > calls+300 })
	a.stop()
	b.ready(2 * partitions)
	s.awaitAll()
	b.stop()
	s.settledOnce()
	s.calledOnce()
}

func TestARestartRepeatsNothingThatIsSettledBeyondTheCommit(t *testing.T) {
	t.Parallel()
	s := newScene(t, setting{api: calm})
	slow := task(1, 0)
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if c.TaskID == slow.TaskID {
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
		}
		return sandbox.Fault{}
	})
	first := outgoing{topic: s.topics.decisions, task: slow, state: "COMPLETED_PASS"}
	s.send(first)
	for i := range 300 { // of the same profile: in the same partition, behind it
		s.send(outgoing{topic: s.topics.decisions, task: task(1, 1+i), state: "COMPLETED_PASS"})
	}
	never := "VERDICT_PROCESSOR_MAX_ATTEMPTS=1000"
	p := s.start("before", never)
	await(t, "all but one are settled", func() bool { return s.count(s.topics.results) == 300 })
	p.stop()
	if m := s.metadata(s.topics.decisions); !strings.HasPrefix(m, "v1:") {
		t.Errorf("the commit's metadata is %q, though 300 offsets are settled beyond it", m)
	}
	s.setFaults(nil)
	p = s.start("after", never)
	s.awaitAll()
	p.stop()
	s.settledOnce()
	for i := range 300 {
		if n := s.api.Completions(slow.ProfileID, task(1, 1+i).TaskID); n != 1 {
			t.Fatalf("task %d was completed %d times", i, n)
		}
	}
}

func TestDeadLettersSayWhy(t *testing.T) {
	t.Parallel()
	s := newScene(t, setting{api: calm})
	missing := task(2, 2)
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if c.TaskID == missing.TaskID {
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusNotFound}
		}
		return sandbox.Fault{}
	})
	d := s.topics.decisions
	s.send(
		outgoing{topic: d, task: task(1, 1), state: "COMPLETED_PASS"},
		outgoing{topic: d, task: missing, state: "COMPLETED_PASS"},
		outgoing{topic: d, task: task(3, 3), value: "{"},
	)
	p := s.start("verdict")
	s.awaitAll()
	p.stop()
	s.settledOnce()
	got := make(map[string]int)
	for _, names := range s.outcomes() {
		got[names[0]]++
	}
	if got["completed"] != 1 || got["task_not_found"] != 1 || got["invalid_event"] != 1 {
		t.Errorf("outcomes %v", got)
	}
}
