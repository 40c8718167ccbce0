package passfort_test

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func newSandbox(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	o.Key = key
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failure checks that err is an *Error as described, without the key, and returns it.
func failure(t *testing.T, err error, kind passfort.Kind, maybeApplied bool) *passfort.Error {
	t.Helper()
	e, ok := errors.AsType[*passfort.Error](err)
	if !ok {
		t.Fatalf("got %v, want %s", err, kind)
	}
	if e.Kind != kind || e.MaybeApplied != maybeApplied {
		t.Errorf("got %s, maybe applied %t (%v); want %s, %t", e.Kind, e.MaybeApplied, e, kind, maybeApplied)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if strings.Contains(inner.Error(), key) {
			t.Errorf("the error contains the key: %v", inner)
		}
	}
	return e
}

func TestClientCompletesAndReadsTasks(t *testing.T) {
	box := newSandbox(t, sandbox.Options{})
	client := serve(t, box)
	ctx := t.Context()

	task, resp, err := client.GetTask(ctx, profileID, taskID)
	if err != nil || task.State != decision.Incomplete || task.IsComplete || resp.Status != 200 || resp.Rate.Remaining != -1 {
		t.Fatalf("before: %+v %+v %v", task, resp, err)
	}
	task, resp, err = client.CompleteTask(ctx, profileID, strings.ToUpper(taskID), decision.CompletedFail)
	if err != nil || task.State != decision.CompletedFail || !task.IsComplete || task.ID != taskID || resp.Status != 200 {
		t.Fatalf("completing: %+v %+v %v", task, resp, err)
	}
	if task.Variant.TaskType == "" || !strings.Contains(string(task.Raw), `"creation_date"`) {
		t.Errorf("the task lacks fields of the answer: %+v", task)
	}
	tasks, _, err := client.ListTasks(ctx, strings.ToUpper(profileID))
	if err != nil || len(tasks) != 1 || tasks[0].State != decision.CompletedFail || string(tasks[0].Raw) != string(task.Raw) {
		t.Errorf("list: %+v %v", tasks, err)
	}
	if who, _, err := client.WhoAmI(ctx); err != nil || who.AuditeeName == "" || len(who.Raw) == 0 {
		t.Errorf("whoami: %+v %v", who, err)
	}
	if got := box.State(profileID, taskID); got != decision.CompletedFail {
		t.Errorf("the sandbox has %s", got)
	}
}

func TestCompleteTaskSendsTheDocumentedRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		respond(200, `{"id":"`+taskID+`","state":"COMPLETED_PASS"}`)(w, r)
	}), func(o *passfort.Options) { o.UserAgent = "verdict/1.2.3"; o.BaseURL = "http://localhost/a%2Fb/4.0/" })
	if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.RequestURI != "/a%2Fb/4.0/profiles/"+profileID+"/tasks/"+taskID || string(body) != `{"state":"COMPLETED_PASS"}` {
		t.Errorf("%s %s %s", got.Method, got.RequestURI, body)
	}
	want := http.Header{
		"Apikey": {key}, "Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"verdict/1.2.3"},
		"Content-Length": {"26"}, "Accept-Encoding": {"gzip"},
	}
	if !reflect.DeepEqual(got.Header, want) {
		t.Errorf("header %v, want %v", got.Header, want)
	}
}

func TestClientRejectsBadArgumentsWithoutACall(t *testing.T) {
	box := newSandbox(t, sandbox.Options{})
	client := serve(t, box)
	for _, id := range []string{"", "..", profileID + "/x", "../../../../../../../../../../whoami??", profileID[:35], profileID[:35] + "g", profileID[:35] + "é", strings.Replace(profileID, "-", "/", 1)} {
		_, resp, err := client.CompleteTask(t.Context(), id, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindInvalid, false)
		if resp.Status != 0 || resp.Rate.Remaining != -1 {
			t.Errorf("response %+v", resp)
		}
		_, _, err = client.CompleteTask(t.Context(), profileID, id, decision.CompletedPass)
		failure(t, err, passfort.KindInvalid, false)
		_, _, err = client.GetTask(t.Context(), profileID, id)
		failure(t, err, passfort.KindInvalid, false)
		_, _, err = client.ListTasks(t.Context(), id)
		failure(t, err, passfort.KindInvalid, false)
	}
	_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.Incomplete)
	failure(t, err, passfort.KindInvalid, false)
	if n := box.Stats().Requests; n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestClientRejectsBadKeysWithoutShowingThem(t *testing.T) {
	box := newSandbox(t, sandbox.Options{})
	var present atomic.Value
	client := serve(t, box, func(o *passfort.Options) { o.Key = func() string { return present.Load().(string) } })
	for _, bad := range []string{"", "topsecret\n", "topsecret\r\nX-Evil: 1", "top secret", "topsecret\x00", "topsecreté", strings.Repeat("topsecret", 200)} {
		present.Store(bad)
		_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		if e := failure(t, err, passfort.KindKey, false); strings.Contains(e.Error(), "secret") || !strings.Contains(e.Error(), "API key") {
			t.Errorf("error %q", e)
		}
	}
	if n := box.Stats().Requests; n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestClientUsesAChangedKeyAtOnce(t *testing.T) {
	box := newSandbox(t, sandbox.Options{})
	var present atomic.Value
	present.Store(key)
	client := serve(t, box, func(o *passfort.Options) { o.Key = func() string { return present.Load().(string) } })
	if _, _, err := client.WhoAmI(t.Context()); err != nil {
		t.Fatal(err)
	}
	box.SetKey("another-key")
	_, resp, err := client.WhoAmI(t.Context())
	if e := failure(t, err, passfort.KindKey, false); e.Status != 401 || resp.Status != 401 || !reflect.DeepEqual(e.Codes, []int{204}) {
		t.Errorf("got %+v %+v", e, resp)
	}
	present.Store("another-key")
	if _, _, err := client.WhoAmI(t.Context()); err != nil {
		t.Error(err)
	}
}
