package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"verdict/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func TestReadyzAnswersWithTheLine(t *testing.T) {
	h := metrics.NewAdmin(metrics.AdminOptions{Gatherer: prometheus.NewRegistry()}).Handler()
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := get(t, h, path); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("%s: %d %q, want 200 ok", path, w.Code, w.Body)
		}
	}
	for ready, want := range map[bool]int{true: 200, false: 503} {
		h := metrics.NewAdmin(metrics.AdminOptions{
			Gatherer: prometheus.NewRegistry(),
			Ready:    func() (string, bool) { return "paused=none", ready },
		}).Handler()
		w := get(t, h, "/readyz")
		if w.Code != want || w.Body.String() != "paused=none\n" {
			t.Errorf("ready %v: %d %q, want %d and the line", ready, w.Code, w.Body, want)
		}
		if ct := w.Header().Get("Content-Type"); ct != "text/plain; charset=utf-8" {
			t.Errorf("ready %v: Content-Type %q", ready, ct)
		}
		if w := get(t, h, "/healthz"); w.Code != 200 {
			t.Errorf("ready %v: /healthz: %d", ready, w.Code)
		}
	}
}

func TestPprofIsServedOnlyIfEnabled(t *testing.T) {
	for _, on := range []bool{false, true} {
		h := metrics.NewAdmin(metrics.AdminOptions{Gatherer: prometheus.NewRegistry(), Pprof: on}).Handler()
		want := map[bool]int{false: 404, true: 200}[on]
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/symbol"} {
			if w := get(t, h, path); w.Code != want {
				t.Errorf("pprof %v: %s: %d, want %d", on, path, w.Code, want)
			}
		}
		if w := get(t, h, "/debug/pprof/cmdline"); w.Code != 404 {
			t.Errorf("pprof %v: /debug/pprof/cmdline: %d", on, w.Code)
		}
		if got := strings.Contains(get(t, h, "/").Body.String(), "pprof"); got != on {
			t.Errorf("pprof %v: linked on the index page: %v", on, got)
		}
	}
}

func TestAdminRejectsUnknownPathsAndMethods(t *testing.T) {
	h := metrics.NewAdmin(metrics.AdminOptions{Gatherer: prometheus.NewRegistry()}).Handler()
	if w := get(t, h, "/elsewhere"); w.Code != 404 {
		t.Errorf("/elsewhere: %d", w.Code)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/metrics", nil))
	if w.Code != 405 {
		t.Errorf("POST /metrics: %d", w.Code)
	}
}

func TestMetricsServesOpenMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics.New(reg)
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	metrics.NewAdmin(metrics.AdminOptions{Gatherer: reg}).Handler().ServeHTTP(w, r)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	a := metrics.NewAdmin(metrics.AdminOptions{Addr: "127.0.0.1:0", Gatherer: prometheus.NewRegistry()})
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + a.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "ok\n" {
		t.Errorf("GET /healthz: %q, %v", body, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := client.Get("http://" + a.Addr() + "/healthz"); err == nil {
		t.Error("the server still answers after Serve returned")
	}
}

func TestListenOnAUsedPortNamesTheKey(t *testing.T) {
	first := metrics.NewAdmin(metrics.AdminOptions{Addr: "127.0.0.1:0"})
	if err := first.Listen(); err != nil {
		t.Fatal(err)
	}
	err := metrics.NewAdmin(metrics.AdminOptions{Addr: first.Addr()}).Listen()
	if err == nil || !strings.Contains(err.Error(), first.Addr()) || !strings.Contains(err.Error(), "admin.addr") {
		t.Errorf("Listen on a used port: %v; want the address and admin.addr in it", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestListenWithoutAddressDoesNothing(t *testing.T) {
	a := metrics.NewAdmin(metrics.AdminOptions{})
	if err := a.Listen(); err != nil || a.Addr() != "" {
		t.Fatalf("Listen: %v, Addr %q", err, a.Addr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
}
