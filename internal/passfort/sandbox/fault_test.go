package sandbox_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
)

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
