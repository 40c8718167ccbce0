package passfort_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestCompleteTaskErrorsByStatusAndBody(t *testing.T) {
	for _, c := range []struct {
		status       int
		body         string
		kind         passfort.Kind
		maybeApplied bool
		message      string
	}{
		{400, `{"errors":[{"code":7,"message":"no\nway"}]}`, passfort.KindRejected, false, "complete: 400 rejected: no way (codes [7])"},
		{403, ``, passfort.KindKey, false, "complete: 403 key: Forbidden"},
		{400, `{"errors":{"state":["is bad"]}}`, passfort.KindForeign, true, `complete: 400 foreign: {"state":["is bad"]}`},
		{404, `{"errors":[{"code":404,"message":"no such task"}]}`, passfort.KindNotFound, false, "complete: 404 not_found: no such task (codes [404])"},
		{404, `{"errors":{"message":"no such task"}}`, passfort.KindNotFound, false, "complete: 404 not_found: no such task"},
		{404, `{"message":"no Route matched"}`, passfort.KindForeign, true, "complete: 404 foreign: no Route matched"},
		{404, ``, passfort.KindForeign, true, "complete: 404 foreign: Not Found"},
		{405, "Not allowed\n", passfort.KindForeign, true, "complete: 405 foreign: Not allowed"},
		{423, `{"errors":[{"message":"locked"}]}`, passfort.KindServer, false, "complete: 423 server: locked"},
		{499, ``, passfort.KindServer, true, "complete: 499 server"},
		{408, ``, passfort.KindTimeout, false, "complete: 408 timeout: Request Timeout"},
		{429, ``, passfort.KindThrottled, false, "complete: 429 throttled: Too Many Requests"},
		{502, "<html>\n<h1>Bad Gateway</h1>\x1b[31m", passfort.KindServer, true, "complete: 502 server: <html> <h1>Bad Gateway</h1>\ufffd[31m"},
		{503, ``, passfort.KindServer, false, "complete: 503 server: Service Unavailable"},
		{200, `{"errors":[{"code":104,"message":"limit"}]}`, passfort.KindRejected, false, "complete: 200 rejected: limit (codes [104])"},
		{201, `{"errors":{"code":204,"message":"invalid API key"}}`, passfort.KindKey, false, "complete: 201 key: invalid API key (codes [204])"},
		{200, `{"id":"` + taskID + `","state":"INCOMPLETE"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the task is INCOMPLETE, not COMPLETED_PASS"},
		{200, `{"id":"` + profileID + `","state":"COMPLETED_PASS"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the answer is about another task, " + profileID},
		{200, `<html>`, passfort.KindForeign, true, "complete: 200 foreign: invalid character '<' looking for beginning of value"},
		{200, `{"status":"ok"}`, passfort.KindForeign, true, "complete: 200 foreign: not a task"},
		{200, `"thanks"`, passfort.KindForeign, true, "complete: 200 foreign: not a task"},
		{200, `{"id":"` + taskID + `","state":"COMPLETED_PASS","errors":"down"}`, passfort.KindForeign, true, "complete: 200 foreign: down"},
		{200, ``, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: unexpected end of JSON input"},
		{200, `{"id":"` + taskID + `"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: not a task: no state"},
		{204, ``, passfort.KindUnconfirmed, true, "complete: 204 unconfirmed: unexpected end of JSON input"},
		{400, `{"errors":[{"code":1,"message":"key ` + key + ` is odd"}]}`, passfort.KindRejected, false, "complete: 400 rejected: key [redacted] is odd (codes [1])"},
		{200, `{"id":"` + taskID + `","state":"` + strings.Repeat("x", 30) + key + strings.Repeat("y", 2000) + `"}`, passfort.KindUnconfirmed, true, "complete: 200 unconfirmed: the task is " + strings.Repeat("x", 30) + "[redacted]" + strings.Repeat("y", 1<<10-len("the task is ")-40)},
		{500, strings.Repeat(key+" ", 200), passfort.KindServer, true, "complete: 500 server: " + strings.Repeat("[redacted] ", 93) + "["},
	} {
		client := serve(t, respond(c.status, c.body))
		_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		e := failure(t, err, c.kind, c.maybeApplied)
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

func TestReadsAreNeverMaybeApplied(t *testing.T) {
	client := serve(t, respond(502, ""))
	_, _, err := client.GetTask(t.Context(), profileID, taskID)
	failure(t, err, passfort.KindServer, false)
	client = serve(t, respond(404, "<html>"))
	_, _, err = client.GetTask(t.Context(), profileID, taskID)
	failure(t, err, passfort.KindForeign, false)
	client = serve(t, respond(200, "{}"))
	_, _, err = client.ListTasks(t.Context(), profileID)
	failure(t, err, passfort.KindForeign, false)
	_, _, err = client.WhoAmI(t.Context())
	failure(t, err, passfort.KindForeign, false)
	client = serve(t, respond(200, "[1]"))
	_, _, err = client.ListTasks(t.Context(), profileID)
	failure(t, err, passfort.KindUnconfirmed, false)
	client = serve(t, respond(200, `{"errors":[{"code":204}]}`))
	_, _, err = client.ListTasks(t.Context(), profileID)
	failure(t, err, passfort.KindKey, false)
	_, _, err = client.WhoAmI(t.Context())
	failure(t, err, passfort.KindKey, false)
}

func TestEveryResponseHasTheRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, newSandbox(t, sandbox.Options{RateLimit: 2}))
		for _, want := range []int{1, 0} {
			_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
			if err != nil || resp.Rate.Remaining != want || !resp.Rate.HasReset || resp.Rate.RetryAfter != 0 {
				t.Fatalf("%+v %v", resp, err)
			}
		}
		_, resp, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		failure(t, err, passfort.KindThrottled, false)
		want := passfort.RateLimit{Reset: time.Second, HasReset: true, RetryAfter: 500 * time.Millisecond}
		if resp.Status != 429 || resp.Rate != want {
			t.Errorf("%+v", resp)
		}
		time.Sleep(resp.Rate.RetryAfter)
		if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
			t.Errorf("after waiting for RetryAfter: %v", err)
		}
	})
}

func TestTimeoutAfterSendingIsMaybeApplied(t *testing.T) {
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

func TestDefaultTimeoutOutlastsTheAPIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, newSandbox(t, sandbox.Options{Latency: 60 * time.Second}))
		if _, _, err := client.WhoAmI(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTimeoutBeforeSendingIsNotMaybeApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork() // nothing accepts connections
		o := options("http://localhost")
		o.DialContext, o.Timeout = n.DialContext, time.Second
		client, err := passfort.New(o)
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

func TestCallersContextEndIsCanceled(t *testing.T) {
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
		failure(t, err, passfort.KindCanceled, false) // ended before the call began
	})
}

func TestCutConnectionIsMaybeApplied(t *testing.T) {
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

func TestCutSuccessBodyIsUnconfirmed(t *testing.T) {
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

// failingTransport fails every call and reports nothing to httptrace.
type failingTransport struct{}

func (failingTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("broken by " + key)
}

func TestSilentTransportIsMaybeApplied(t *testing.T) {
	o := options("https://localhost")
	o.Transport = failingTransport{}
	client, err := passfort.New(o)
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

// TestSummaryQuotesNoAnswer has names in every place of an answer.
func TestSummaryQuotesNoAnswer(t *testing.T) {
	const name = "Jane-Doe"
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{400, `{"errors":[{"code":7,"message":"` + name + ` is dead"}]}`, "complete: 400 rejected (codes [7])"},
		{403, `{"errors":[{"message":"` + name + `"}]}`, "complete: 403 key"},
		{404, `{"errors":[{"message":"` + name + `"}]}`, "complete: 404 not_found"},
		{404, `{"message":"` + name + `"}`, "complete: 404 foreign: a body without the API's errors"},
		{404, ``, "complete: 404 foreign: an empty body"},
		{405, name, "complete: 405 foreign: a body that is not JSON"},
		{302, name, "complete: 302 foreign: a redirect"},
		{200, `<p>` + name, "complete: 200 foreign: an HTML page"},
		{200, `{"name":"` + name + `"}`, "complete: 200 foreign: not the JSON that was asked for"},
		{200, `{"id":"` + taskID + `","state":"` + name + `"}`, "complete: 200 unconfirmed"},
		{500, name, "complete: 500 server"},
		{799, name, "complete: 799 foreign: not an HTTP status of an answer"},
	} {
		client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/"+name)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		_, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass)
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Warn("x", "err", err)
		e, _ := errors.AsType[*passfort.Error](err)
		if got := e.Summary(); got != c.want || !strings.Contains(log.String(), "err="+strconv.Quote(c.want)) {
			t.Errorf("%d %s: summary %q, want %q; log %s", c.status, c.body, got, c.want, log.String())
		}
		if c.body != "" && !strings.Contains(e.Error(), name) && e.Kind != passfort.KindForeign {
			t.Errorf("%d: the error does not have the answer's text: %v", c.status, err)
		}
	}
	client := raw(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 "+name+"\r\n\r\n") })
	_, _, err := client.WhoAmI(t.Context())
	if e := failure(t, err, passfort.KindConnection, false); e.Summary() != "whoami: connection" || !strings.Contains(e.Error(), name) {
		t.Errorf("summary %q of %q", e.Summary(), e.Error())
	}
}

func TestSummarySaysWhyTheAPIWasNotReached(t *testing.T) {
	o := options("http://localhost")
	o.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	client, err := passfort.New(o)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.WhoAmI(t.Context())
	if e := failure(t, err, passfort.KindConnection, false); e.Summary() != "whoami: connection: dial tcp: connection refused" {
		t.Errorf("summary %q", e.Summary())
	}
}

func TestForeignRefusalOfTheKeyIsMarked(t *testing.T) {
	for body, want := range map[string]bool{
		``: false, `{"errors":[{"code":204}]}`: false, `{"errors":{"message":"no"}}`: false,
		`<html>`: true, `{"message":"Forbidden"}`: true, `Forbidden`: true,
	} {
		for _, status := range []int{401, 403} {
			client := serve(t, respond(status, body))
			_, _, err := client.GetTask(t.Context(), profileID, taskID)
			if e := failure(t, err, passfort.KindKey, false); e.Foreign != want {
				t.Errorf("%d %s: foreign %v", status, body, e.Foreign)
			}
		}
	}
	client := serve(t, respond(200, `{"errors":[{"code":204}]}`))
	_, _, err := client.ListTasks(t.Context(), profileID)
	if e := failure(t, err, passfort.KindKey, false); e.Foreign {
		t.Error("the API's own refusal in a 200 is foreign")
	}
}

func TestRetryAfterIsOfA503(t *testing.T) {
	for status, want := range map[int]time.Duration{503: passfort.MaxRetryAfter, 502: 0, 404: 0} {
		client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(status)
		}))
		_, _, err := client.WhoAmI(t.Context())
		if e, _ := errors.AsType[*passfort.Error](err); e.RetryAfter != want {
			t.Errorf("%d: %s, want %s", status, e.RetryAfter, want)
		}
	}
}
