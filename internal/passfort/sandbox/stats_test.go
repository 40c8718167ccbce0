package sandbox_test

import (
	"sync"
	"testing"

	"verdict/internal/passfort/sandbox"
)

func TestStatsMatchTheContract(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	call(s, "POST", taskPath, pass)
	call(s, "POST", taskPath, fail)
	call(s, "POST", taskPath, `{}`)
	call(s, "GET", "/4.0/profiles/"+profileID+"/tasks/"+task(1), "")
	callWith(s, "wrong", "GET", "/4.0/whoami", "")
	call(s, "GET", "/elsewhere", "")
	for range 2 { // reading the counts does not change them and needs no key
		w := callWith(s, "", "GET", "/_sandbox/stats", "")
		expect(t, w, 200, `{"requests":5,"completions":2,"by_status":{"200":3,"401":1,"422":1},"max_in_flight":1,"distinct_tasks":2,"repeat_completions":1}`)
	}
}

func TestStatsCountConcurrentCalls(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 250 {
				call(s, "POST", "/4.0/profiles/"+task(i%50)+"/tasks/"+task(i%100), pass)
				if i%50 == g {
					for range s.Tasks() {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	stats := s.Stats()
	if stats.Requests != 2000 || stats.Completions != 2000 || stats.DistinctTasks != 100 || stats.RepeatCompletions != 1900 || stats.ByStatus["200"] != 2000 {
		t.Errorf("%+v", stats)
	}
}
