package sandbox_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
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
