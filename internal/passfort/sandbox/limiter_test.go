package sandbox_test

import (
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/passfort/sandbox"
)

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
