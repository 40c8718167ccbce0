package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

const (
	profileID = "abcdef01-2222-3333-4444-555555555555"
	taskID    = "a2c4393a-e219-67a4-5ab4-2186952e9038"
	taskPath  = "/4.0/profiles/" + profileID + "/tasks/" + taskID
	pass      = `{"state":"COMPLETED_PASS"}`
	fail      = `{"state":"COMPLETED_FAIL"}`
)

func newSandbox(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call makes one call with the right key.
func call(s *sandbox.Sandbox, method, path, body string) *httptest.ResponseRecorder {
	return callWith(s, "sandbox", method, path, body)
}

func callWith(s *sandbox.Sandbox, key, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("apikey", key)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// expect checks the status and that the body is JSON with these parts.
func expect(t *testing.T, w *httptest.ResponseRecorder, status int, parts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("not JSON: %s", w.Body)
	}
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("want %s in %s", part, w.Body)
		}
	}
}

func task(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012x", n) }

func TestSandboxRemembersTheStateOfEveryTask(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	expect(t, call(s, "GET", "/4.0/profiles/"+profileID+"/tasks", ""), 200, "[]")
	if got := s.State(profileID, taskID); got != "" {
		t.Errorf("state before the first call: %s", got)
	}
	w := call(s, "GET", taskPath, "")
	expect(t, w, 200, `"id":"`+taskID+`"`, `"state":"INCOMPLETE"`, `"is_complete":false`)
	var keys map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &keys); err != nil || len(keys) != 10 || len(keys["variant"].(map[string]any)) != 3 {
		t.Errorf("not the documented shape: %v", keys)
	}
	expect(t, call(s, "POST", taskPath, fail), 200, `"state":"COMPLETED_FAIL"`, `"is_complete":true`)
	upper := strings.Replace(taskPath, taskID, strings.ToUpper(taskID), 1)
	expect(t, call(s, "GET", upper, ""), 200, `"state":"COMPLETED_FAIL"`, `"id":"`+taskID+`"`)
	expect(t, call(s, "POST", upper, `{"is_complete":true}`), 200, `"state":"COMPLETED_PASS"`)
	expect(t, call(s, "GET", "/4.0/profiles/"+strings.ToUpper(profileID)+"/tasks", ""), 200, `[{"check_ids"`, taskID)
	expect(t, call(s, "GET", "/4.0/profiles/"+profileID, ""), 200, `"id":"`+profileID, `"tasks":[{`, `"checks":[]`, `"applications":[]`)
	expect(t, call(s, "GET", "/4.0/whoami", ""), 200, `"auditee_name":`, `"logo_url":`, `"user":`)

	if s.State(profileID, taskID) != decision.CompletedPass || s.Completions(strings.ToUpper(profileID), taskID) != 2 {
		t.Errorf("%s, %d completions", s.State(profileID, taskID), s.Completions(profileID, taskID))
	}
	var all []sandbox.Task
	for known := range s.Tasks() {
		all = append(all, known)
	}
	if want := []sandbox.Task{{ProfileID: profileID, TaskID: taskID, State: decision.CompletedPass, Completions: 2}}; !reflect.DeepEqual(all, want) {
		t.Errorf("tasks %v", all)
	}
}

func TestSandboxRefusesWhatTheAPIWould(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	for _, key := range []string{"", "wrong", "sandbox "} {
		expect(t, callWith(s, key, "POST", taskPath, pass), 401, `{"errors":[{"code":204,"message":`)
		expect(t, callWith(s, key, "GET", "/4.0/whoami", ""), 401)
	}
	for _, body := range []string{``, `{}`, `[]`, `{"state":"INCOMPLETE"}`, `{"state":""}`, `{"state":5}`, `{"is_complete":false}`, `{"state":"COMPLETED_PASS"`, pass + strings.Repeat(" ", 1<<20)} {
		expect(t, call(s, "POST", taskPath, body), 422, `"code":201`)
	}
	for _, path := range []string{
		"/4.0", "/4.0/", "/4.0/profiles", "/4.0/profiles/", "/4.0/profiles/x", "/4.0/profiles/" + profileID + "/checks",
		"/4.0/profiles/" + profileID + "/tasks/", taskPath + "/", taskPath + "x", taskPath[:len(taskPath)-1] + "g", taskPath + "/more",
	} {
		expect(t, call(s, "GET", path, ""), 404)
	}
	expect(t, call(s, "POST", "/4.0/profiles/"+profileID+"/tasks", pass), 404) // would create a task
	expect(t, call(s, "DELETE", taskPath, ""), 404)
	if stats := s.Stats(); stats.Completions != 0 || stats.DistinctTasks != 0 {
		t.Errorf("a refused call was applied: %+v", stats)
	}
}

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

func TestCallsTakeLatencyAndJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{Latency: time.Second, Jitter: time.Second})
		start := time.Now()
		took := make([]time.Duration, 50)
		var wg sync.WaitGroup
		for i := range took {
			wg.Go(func() {
				call(s, "GET", "/4.0/whoami", "")
				took[i] = time.Since(start)
			})
		}
		wg.Wait()
		distinct := map[time.Duration]bool{}
		for _, d := range took {
			if d < time.Second || d >= 2*time.Second {
				t.Errorf("took %s", d)
			}
			distinct[d] = true
		}
		if len(distinct) < 40 || s.Stats().MaxInFlight != 50 {
			t.Errorf("%d different times, %d in flight", len(distinct), s.Stats().MaxInFlight)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start = time.Now()
		r := httptest.NewRequestWithContext(ctx, "POST", taskPath, strings.NewReader(pass))
		r.Header.Set("apikey", "sandbox")
		s.ServeHTTP(httptest.NewRecorder(), r)
		if time.Since(start) != time.Millisecond || s.Completions(profileID, taskID) != 0 {
			t.Errorf("a client that gave up waited for %s", time.Since(start))
		}
	})
}

func TestRateLimitIsGCRAWithTheDocumentedHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{RateLimit: 10, Burst: 3})
		for _, remaining := range []string{"2", "1", "0"} {
			w := call(s, "POST", taskPath, pass)
			expect(t, w, 200)
			if got := w.Header().Get("X-RateLimit-Remaining"); got != remaining || w.Header().Get("X-RateLimit-Retry-Secs") != "" {
				t.Errorf("remaining %s, want %s", got, remaining)
			}
		}
		w := call(s, "GET", taskPath, "")
		expect(t, w, 429, `"errors":[`)
		for name, want := range map[string]string{
			"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-Secs": "0.300", "X-RateLimit-Retry-Secs": "0.100",
			"X-RateLimit-Reset": "Sat, 01 Jan 2000 00:00:01 +0000",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if w := call(s, "GET", "/4.0/whoami", ""); w.Code != 200 || len(w.Header()) != 1 {
			t.Errorf("whoami is limited: %d %v", w.Code, w.Header())
		}
		granted := 0
		for range 1000 { // 10 s, at ten times the rate
			time.Sleep(10 * time.Millisecond)
			if call(s, "GET", taskPath, "").Code == 200 {
				granted++
			}
		}
		if granted != 100 {
			t.Errorf("%d calls in 10 s, want 100", granted)
		}
	})
}

func TestErrorsAndRejectsFollowTheSeed(t *testing.T) {
	const n = 20_000
	run := func(seed uint64) (statuses []int) {
		s := newSandbox(t, sandbox.Options{ErrorRate: 0.1, RejectRate: 0.2, Seed: seed})
		for i := range n {
			statuses = append(statuses, call(s, "POST", "/4.0/profiles/"+profileID+"/tasks/"+task(i), pass).Code)
		}
		return statuses
	}
	first, again, other := run(1), run(1), run(2)
	if !reflect.DeepEqual(first, again) || reflect.DeepEqual(first, other) {
		t.Error("the answers do not follow the seed")
	}
	count := map[int]int{}
	for _, status := range first {
		count[status]++
	}
	for status, want := range map[int]float64{503: 0.1, 404: 0.9 * 0.2, 200: 0.9 * 0.8} {
		if got := float64(count[status]) / n; math.Abs(got-want) > 0.01 {
			t.Errorf("%d: share %.3f, want %.3f", status, got, want)
		}
	}
}

func TestRejectedTasksAreNeverRemembered(t *testing.T) {
	s := newSandbox(t, sandbox.Options{RejectRate: 0.5, Seed: 7})
	rejected := 0
	for i := range 200 {
		path := "/4.0/profiles/" + profileID + "/tasks/" + task(i)
		want := call(s, "POST", path, pass).Code
		if got := call(s, "GET", path, "").Code; got != want {
			t.Errorf("task %d: %d, then %d", i, want, got)
		}
		if want == 404 {
			rejected++
			if s.State(profileID, task(i)) != "" {
				t.Errorf("task %d is remembered", i)
			}
		}
	}
	if stats := s.Stats(); rejected < 60 || rejected > 140 || stats.DistinctTasks != int64(200-rejected) {
		t.Errorf("%d rejected, %+v", rejected, stats)
	}
}

func TestObserveGetsEveryCall(t *testing.T) {
	var seen []sandbox.Call
	s := newSandbox(t, sandbox.Options{Observe: func(c sandbox.Call) { c.Time = time.Time{}; seen = append(seen, c) }})
	upper := strings.ToUpper(profileID)
	call(s, "POST", "/4.0/profiles/"+upper+"/tasks/"+taskID, fail)
	call(s, "GET", taskPath, "")
	call(s, "GET", "/4.0/profiles/"+upper+"/tasks", "")
	call(s, "GET", "/4.0/profiles/"+upper, "")
	callWith(s, "wrong", "GET", "/4.0/whoami", "")
	call(s, "PUT", taskPath, pass)
	call(s, "GET", "/_sandbox/stats", "")
	want := []sandbox.Call{
		{Number: 1, Operation: passfort.OpComplete, ProfileID: profileID, TaskID: taskID, State: decision.CompletedFail, Key: "sandbox"},
		{Number: 2, Operation: passfort.OpGetTask, ProfileID: profileID, TaskID: taskID, Key: "sandbox"},
		{Number: 3, Operation: passfort.OpListTasks, ProfileID: profileID, Key: "sandbox"},
		{Number: 4, Operation: sandbox.OpGetProfile, ProfileID: profileID, Key: "sandbox"},
		{Number: 5, Operation: passfort.OpWhoAmI, Key: "wrong"},
		{Number: 6, Operation: sandbox.OpUnknown, ProfileID: profileID, TaskID: taskID, Key: "sandbox"},
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("got  %+v\nwant %+v", seen, want)
	}
}

func TestFaultReplacesTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fault sandbox.Fault
		s := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault { return fault }})

		fault = sandbox.Fault{Do: sandbox.Answer, Status: 418, Header: http.Header{"retry-after": {"3"}}, Body: `"tea"`}
		w := call(s, "POST", taskPath, pass)
		expect(t, w, 418, "tea")
		if w.Header().Get("Retry-After") != "3" || s.Completions(profileID, taskID) != 0 {
			t.Errorf("%v, %d completions", w.Header(), s.Completions(profileID, taskID))
		}

		fault = sandbox.Fault{Do: sandbox.Answer, Act: true, Body: `{}`}
		expect(t, call(s, "POST", taskPath, pass), 502)
		if s.State(profileID, taskID) != decision.CompletedPass || s.Stats().Completions != 1 {
			t.Error("the completion was not applied")
		}

		for _, cut := range []sandbox.Fault{{Do: sandbox.Cut}, {Do: sandbox.Cut, Status: 200, Body: "{"}} {
			fault = cut
			func() {
				defer func() {
					if r := recover(); r != http.ErrAbortHandler {
						t.Errorf("not cut: %v", r)
					}
				}()
				call(s, "GET", taskPath, "")
			}()
		}

		fault = sandbox.Fault{Delay: time.Minute}
		start := time.Now()
		expect(t, call(s, "GET", taskPath, ""), 200, "COMPLETED_PASS")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("proceeded after %s", took)
		}

		fault = sandbox.Fault{Do: sandbox.Hang}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", taskPath, nil)
		start = time.Now()
		s.ServeHTTP(httptest.NewRecorder(), r)
		if took := time.Since(start); took != time.Hour {
			t.Errorf("hung for %s", took)
		}
	})
}

func TestSetStateIsNotACompletion(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	if !s.SetState(profileID, taskID, decision.CompletedFail) || s.SetState("x", taskID, decision.CompletedFail) || s.SetState(profileID, taskID, "DONE") {
		t.Error("SetState accepts or rejects the wrong arguments")
	}
	expect(t, call(s, "GET", taskPath, ""), 200, "COMPLETED_FAIL")
	call(s, "POST", taskPath, pass)
	if stats := s.Stats(); stats.Completions != 1 || stats.RepeatCompletions != 1 || stats.DistinctTasks != 1 {
		t.Errorf("%+v", stats)
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

func TestNewNamesEveryBadOption(t *testing.T) {
	_, err := sandbox.New(sandbox.Options{
		Latency: -1, Jitter: -1, RateLimit: math.NaN(), Burst: -1, ErrorRate: 1.1, RejectRate: math.NaN(),
	})
	for _, field := range []string{"Latency", "Jitter", "RateLimit", "Burst", "ErrorRate", "RejectRate"} {
		if err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}

// FuzzServeHTTP checks that every call to the API is answered in JSON.
func FuzzServeHTTP(f *testing.F) {
	f.Add("POST", "/profiles/"+profileID+"/tasks/"+taskID, pass)
	f.Add("GET", "/profiles/"+profileID, "")
	f.Add("GET", "/../whoami", "{")
	f.Add("PUT", "/profiles//tasks/", "\x00")
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Method, r.URL.Path = method, "/4.0/"+path
		r.Header.Set("apikey", "sandbox")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code < 200 || w.Code > 499 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func BenchmarkComplete(b *testing.B) {
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		call(s, "POST", "/4.0/profiles/"+task(i)+"/tasks/"+task(i), pass)
	}
}
