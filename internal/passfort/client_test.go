package passfort_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// failure is err as the *Error that it must be.
func failure(t *testing.T, err error, kind passfort.Kind, maybeSent bool) *passfort.Error {
	t.Helper()
	e, ok := errors.AsType[*passfort.Error](err)
	if !ok {
		t.Fatalf("got %v, want %s", err, kind)
	}
	if e.Kind != kind || e.MaybeApplied != maybeSent {
		t.Errorf("got %s, maybe sent %t (%v); want %s, %t", e.Kind, e.MaybeApplied, e, kind, maybeSent)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if strings.Contains(inner.Error(), key) {
			t.Errorf("the key is in the error: %v", inner)
		}
	}
	return e
}

func TestATaskIsCompletedAndRemembered(t *testing.T) {
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
		t.Errorf("the answer is not handed on: %+v", task)
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

func TestARequestIsWhatTheDocumentationSays(t *testing.T) {
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

func TestBadArgumentsMakeNoCall(t *testing.T) {
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

func TestAKeyThatCanNotBeSentMakesNoCallAndIsNotTold(t *testing.T) {
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

func TestAChangedKeyIsUsedFromTheNextCallOn(t *testing.T) {
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

func TestStatusesComeOutAsKinds(t *testing.T) {
	for _, c := range []struct {
		status    int
		body      string
		kind      passfort.Kind
		maybeSent bool
		message   string
	}{
		{400, `{"errors":[{"code":7,"message":"no\nway"}]}`, passfort.KindRejected, false, "complete: 400 rejected: no way (codes [7])"},
		{403, ``, passfort.KindKey, false, "complete: 403 key: Forbidden"},
		{404, `{"message":"no such task"}`, passfort.KindNotFound, false, "complete: 404 not_found: no such task"},
		{408, ``, passfort.KindTimeout, false, "complete: 408 timeout: Request Timeout"},
		{429, ``, passfort.KindThrottled, false, "complete: 429 throttled: Too Many Requests"},
		{502, "<html>\n<h1>Bad Gateway</h1>\x1b[31m", passfort.KindServer, true, "complete: 502 server: <html> <h1>Bad Gateway</h1>\ufffd[31m"},
		{503, ``, passfort.KindServer, false, "complete: 503 server: Service Unavailable"},
		{200, `{"errors":[{"code":104,"message":"limit"}]}`, passfort.KindRejected, false, "complete: 200 rejected: limit (codes [104])"},
		{201, `{"errors":{"code":204,"message":"invalid API key"}}`, passfort.KindKey, false, "complete: 201 key: invalid API key (codes [204])"},
		{200, `{"id":"` + taskID + `","state":"INCOMPLETE"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the task is INCOMPLETE, not COMPLETED_PASS"},
		{200, `{"id":"` + profileID + `","state":"COMPLETED_PASS"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the answer is about another task, " + profileID},
		{200, `<html>`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: invalid character '<' looking for beginning of value"},
		{204, ``, passfort.KindUnconfirmed, true, "complete: 204 unconfirmed: unexpected end of JSON input"},
		{400, `{"errors":[{"code":1,"message":"key ` + key + ` is odd"}]}`, passfort.KindRejected, false, "complete: 400 rejected: key [redacted] is odd (codes [1])"},
		{200, `{"id":"` + taskID + `","state":"` + strings.Repeat("x", 30) + key + strings.Repeat("y", 2000) + `"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the task is " + strings.Repeat("x", 30) + "[redacted]" + strings.Repeat("y", 1<<10-len("the task is ")-40)},
		{500, strings.Repeat(key+" ", 200), passfort.KindServer, true, "complete: 500 server: " + strings.Repeat("[redacted] ", 93) + "["},
	} {
		client := serve(t, respond(c.status, c.body))
		_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		e := failure(t, err, c.kind, c.maybeSent)
		if resp.Status != c.status || e.Status != c.status {
			t.Errorf("%d: status %d, in the error %d", c.status, resp.Status, e.Status)
		}
		if got := e.Error(); got != c.message {
			t.Errorf("%d: message\n%q, want\n%q", c.status, got, c.message)
		}
		if len(e.Message) > 1<<10 {
			t.Errorf("%d: message of %d bytes", c.status, len(e.Message))
		}
	}
}

func TestACallThatOnlyLooksNeverLeavesDoubt(t *testing.T) {
	client := serve(t, respond(502, ""))
	_, _, err := client.GetTask(t.Context(), profileID, taskID)
	failure(t, err, passfort.KindServer, false)
	client = serve(t, respond(200, "[1]"))
	_, _, err = client.ListTasks(t.Context(), profileID)
	failure(t, err, passfort.KindUnconfirmed, false)
	client = serve(t, respond(200, `{"errors":[{"code":204}]}`))
	_, _, err = client.ListTasks(t.Context(), profileID)
	failure(t, err, passfort.KindKey, false)
	_, _, err = client.WhoAmI(t.Context())
	failure(t, err, passfort.KindKey, false)
}

func TestRateLimitsAreToldOnSuccessAndOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, newSandbox(t, sandbox.Options{RateLimit: 2}))
		for _, want := range []int{1, 0} {
			_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
			if err != nil || resp.Rate.Remaining != want || !resp.Rate.HasReset || resp.Rate.HasRetryAfter {
				t.Fatalf("%+v %v", resp, err)
			}
		}
		_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindThrottled, false)
		want := passfort.RateLimit{Reset: time.Second, HasReset: true, RetryAfter: 500 * time.Millisecond, HasRetryAfter: true}
		if resp.Status != 429 || resp.Rate != want {
			t.Errorf("%+v", resp)
		}
		time.Sleep(resp.Rate.RetryAfter)
		if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
			t.Errorf("after waiting as told: %v", err)
		}
	})
}

func TestNoAnswerInTimeIsATimeoutWhichMayHaveActed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault {
			return sandbox.Fault{Do: sandbox.Hang, Act: true}
		}})
		client := serve(t, box, func(o *passfort.Options) { o.Timeout = 3 * time.Second })
		start := time.Now()
		_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindTimeout, true)
		if took := time.Since(start); took != 3*time.Second || resp.Status != 0 {
			t.Errorf("after %s, status %d", took, resp.Status)
		}
		if !errors.Is(err, context.DeadlineExceeded) || box.Completions(profileID, taskID) != 1 {
			t.Errorf("%v, %d completions", err, box.Completions(profileID, taskID))
		}
	})
}

func TestTheDefaultTimeoutOutlastsTheServersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, newSandbox(t, sandbox.Options{Latency: 60 * time.Second}))
		if _, _, err := client.WhoAmI(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNoConnectionInTimeIsATimeoutThatSentNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork() // nobody accepts
		client, err := passfort.New(passfort.Options{
			BaseURL: "http://localhost", Key: func() string { return key }, DialContext: n.DialContext, Timeout: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindTimeout, false)
		_ = n.Close()
		_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindConnection, false)
		synctest.Wait()
	})
}

func TestACallerThatGivesUpIsNotATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newSandbox(t, sandbox.Options{Latency: time.Minute})
		client := serve(t, box)

		shutdown := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(shutdown) })
		_, _, err := client.CompleteTask(ctx, profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindCanceled, true)
		if !errors.Is(err, shutdown) || !errors.Is(err, context.Canceled) {
			t.Errorf("cause lost: %v", err)
		}

		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		_, _, err = client.CompleteTask(short, profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindCanceled, true)

		_, _, err = client.CompleteTask(ctx, profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindCanceled, false) // gone before it began
	})
}

func TestACutConnectionMayHaveActed(t *testing.T) {
	for name, f := range map[string]sandbox.Fault{
		"before acting": {Do: sandbox.Cut},
		"after acting":  {Do: sandbox.Cut, Act: true},
	} {
		box := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault { return f }})
		client := serve(t, box)
		_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindConnection, true)
		if n := box.Stats().Requests; n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

func TestACutInTheBodyOfASuccessIsUnconfirmed(t *testing.T) {
	box := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault {
		return sandbox.Fault{Do: sandbox.Cut, Act: true, Status: 200, Body: `{"id":"`}
	}})
	client := serve(t, box)
	_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	failure(t, err, passfort.KindUnconfirmed, true)
	if resp.Status != 200 {
		t.Errorf("status %d", resp.Status)
	}
}

func TestConnectionsAreUsedAgainWhateverTheAnswer(t *testing.T) {
	box := newSandbox(t, sandbox.Options{RejectRate: 1})
	var opened atomic.Int32
	client := serve(t, box, func(o *passfort.Options) {
		dial := o.DialContext
		o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			opened.Add(1)
			return dial(ctx, network, address)
		}
	})
	for range 20 {
		_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindNotFound, false)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 20 calls", n)
	}
}

func TestHTTP2IsUsedWhereTheServerHasIt(t *testing.T) {
	var proto atomic.Value
	var cut atomic.Bool
	box := newSandbox(t, sandbox.Options{Fault: func(sandbox.Call) sandbox.Fault {
		if cut.Load() {
			return sandbox.Fault{Do: sandbox.Cut}
		}
		return sandbox.Fault{}
	}})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		box.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client, err := passfort.New(passfort.Options{BaseURL: server.URL + "/4.0", Key: func() string { return key }})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Trust(server.Certificate())
	if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil || proto.Load() != "HTTP/2.0" {
		t.Errorf("%v %v", proto.Load(), err)
	}
	box.SetKey("another")
	_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	failure(t, err, passfort.KindKey, false)
	box.SetKey(key)
	cut.Store(true)
	_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	failure(t, err, passfort.KindConnection, true)
}

func TestAConnectionThatTheServerClosedWhileIdleIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newSandbox(t, sandbox.Options{})
		n := newNetwork()
		server := &http.Server{Handler: box, IdleTimeout: time.Second}
		go func() { _ = server.Serve(n) }()
		defer server.Close()
		client, err := passfort.New(passfort.Options{
			BaseURL: "http://localhost/4.0", Key: func() string { return key }, DialContext: n.DialContext,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for range 5 {
			if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second)
		}
		if n := box.Completions(profileID, taskID); n != 5 {
			t.Errorf("%d completions of 5", n)
		}
	})
}

type failingTransport struct{}

func (failingTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("broken by " + key)
}

func TestATransportThatTellsNothingLeavesDoubt(t *testing.T) {
	client, err := passfort.New(passfort.Options{
		BaseURL: "https://localhost", Key: func() string { return key }, Transport: failingTransport{},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
	if e := failure(t, err, passfort.KindConnection, true); e.Error() != "complete: connection: broken by [redacted]" {
		t.Errorf("error %q", e)
	}
	_, _, err = client.GetTask(t.Context(), profileID, taskID)
	failure(t, err, passfort.KindConnection, false)
}
