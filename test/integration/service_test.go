package integration

import (
	"net/http"
	"strings"
	"testing"

	"verdict/internal/passfort/sandbox"
)

func TestRunCompletesBothLanes(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{api: fastAPI})
	s.send(s.passing(s.topics.decisions, 0, 300)...)
	s.send(s.passing(s.topics.backfill, 1000, 300)...)
	p := s.start("verdict")
	s.awaitAll()
	if n := p.metric("verdict_paused"); n != 0 {
		t.Errorf("paused for %v causes", n)
	}
	p.stop()
	s.checkSettledOnce()
	s.checkCalledOnce()
	if n := s.count(s.topics.results); n != 600 {
		t.Errorf("%d results for 600 decisions", n)
	}
}

func TestJoinAndLeaveRepeatNoCall(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{api: fastAPI})
	s.send(s.passing(s.topics.decisions, 0, 2000)...)
	slow := "VERDICT_API_RATE_LIMIT=250"
	a := s.start("a", slow)
	await(t, "member a completes decisions", func() bool { return s.count(s.topics.results) > 100 })
	b := s.start("b", slow)
	b.awaitPartitions(0)
	a.awaitPartitions(partitions) // half of both topics
	calls := len(s.completions())
	await(t, "calls continue", func() bool { return len(s.completions()) > calls+300 })
	a.stop()
	b.awaitPartitions(2 * partitions)
	s.awaitAll()
	b.stop()
	s.checkSettledOnce()
	s.checkCalledOnce()
}

func TestRestartRepeatsNothingSettledBeyondTheCommit(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{api: fastAPI})
	slow := task(1, 0)
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if c.TaskID == slow.TaskID {
			return sandbox.Fault{Do: sandbox.Answer, Status: http.StatusServiceUnavailable}
		}
		return sandbox.Fault{}
	})
	first := outgoing{topic: s.topics.decisions, task: slow, state: "COMPLETED_PASS"}
	s.send(first)
	for i := range 300 { // same profile, so they follow in the same partition
		s.send(outgoing{topic: s.topics.decisions, task: task(1, 1+i), state: "COMPLETED_PASS"})
	}
	noDeadLetters := "VERDICT_PROCESSOR_MAX_ATTEMPTS=1000"
	p := s.start("before", noDeadLetters)
	await(t, "all but one are settled", func() bool { return s.count(s.topics.results) == 300 })
	p.stop()
	if m := s.metadata(s.topics.decisions); !strings.HasPrefix(m, "v1:") {
		t.Errorf("the metadata of the commit is %q, want the 300 offsets that are settled beyond it", m)
	}
	s.setFaults(nil)
	p = s.start("after", noDeadLetters)
	s.awaitAll()
	p.stop()
	s.checkSettledOnce()
	for i := range 300 {
		if n := s.api.Completions(slow.ProfileID, task(1, 1+i).TaskID); n != 1 {
			t.Fatalf("task %d was completed %d times", i, n)
		}
	}
}

func TestRunDeadLettersWithReasons(t *testing.T) {
	t.Parallel()
	s := newScene(t, sceneOptions{api: fastAPI})
	missing := task(2, 2)
	s.setFaults(func(c sandbox.Call) sandbox.Fault {
		if c.TaskID == missing.TaskID {
			return sandbox.Refusal(http.StatusNotFound)
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
	s.checkSettledOnce()
	got := make(map[string]int)
	for _, names := range s.outcomes() {
		got[names[0]]++
	}
	if got["completed"] != 1 || got["task_not_found"] != 1 || got["invalid_event"] != 1 {
		t.Errorf("outcomes %v", got)
	}
}
