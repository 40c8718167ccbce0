package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the admin server. They are not configurable.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second // pprof extends it by the duration of a profile
	idleTimeout       = 2 * time.Minute  // longer than the usual scrape interval, to keep its connection
	maxHeaderBytes    = 16 << 10
	maxScrapes        = 8               // at the same time; others are answered 503
	stopGrace         = 2 * time.Second // for open requests when Serve ends
)

// AdminOptions configures an Admin.
type AdminOptions struct {
	// Addr is the host:port to listen on. Port 0 means any free port. Empty means no
	// admin server.
	Addr string
	// Gatherer provides the metrics of /metrics. Nil means prometheus.DefaultGatherer.
	Gatherer prometheus.Gatherer
	// Ready decides the answer of /readyz: its body, in one line, and whether the service
	// takes work. A nil function means always ready.
	Ready func() (line string, ok bool)
	// Pprof enables /debug/pprof/.
	Pprof bool
	// Logger gets faults of the server and of scrapes. Nil means no logging.
	Logger *slog.Logger
}

// Admin is the HTTP server for operators, with metrics, health, readiness and profiles.
// It has no authentication, so run it on a loopback address or in a closed network.
type Admin struct {
	opts     AdminOptions
	listener net.Listener // set by Listen, read by Addr and Serve
}

// NewAdmin returns an admin server. Listen and Serve start it.
func NewAdmin(o AdminOptions) *Admin {
	if o.Gatherer == nil {
		o.Gatherer = prometheus.DefaultGatherer
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Admin{opts: o}
}

// Listen binds the address. It is separate from Serve so that a port that is in use is
// reported before other work begins.
func (a *Admin) Listen() error {
	if a.opts.Addr == "" {
		return nil
	}
	l, err := net.Listen("tcp", a.opts.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("admin server: %w: another program, perhaps a second Verdict, uses it; set admin.addr to a free address, or to \"\" for no admin server", err)
	}
	if err != nil {
		return fmt.Errorf("admin server: %w: set admin.addr to an address of this machine as host:port, or to \"\" for no admin server", err)
	}
	a.listener = l
	return nil
}

// Addr returns the address that Listen bound, with the actual port; empty without an
// admin server.
func (a *Admin) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Serve answers requests until ctx ends. It then gives open requests a moment to finish,
// closes the rest and returns. Without an admin server it waits until ctx ends.
func (a *Admin) Serve(ctx context.Context) error {
	if a.listener == nil {
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(a.opts.Logger.Handler(), slog.LevelWarn),
		// A running profile ends with ctx and does not delay the stop.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(a.listener) }()

	select {
	case err := <-done:
		return errors.Join(fmt.Errorf("admin server: serve %s: %w", a.Addr(), err), srv.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		// A slow client is not worth waiting for.
		err = srv.Close()
	}
	<-done
	return err
}

// Handler returns the handler of the admin server.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{a.opts.Logger},
		// A broken collector must not hide the others.
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.Handle("GET /healthz", probe(nil))
	mux.Handle("GET /readyz", probe(a.opts.Ready))
	mux.HandleFunc("GET /{$}", a.index)
	if a.opts.Pprof {
		// Without /debug/pprof/cmdline, because flags may contain secrets.
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// probe answers 200 or 503, with a line about the service.
func probe(check func() (line string, ok bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line, ok := "ok", true
		if check != nil {
			line, ok = check()
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, line+"\n")
	})
}

// index serves a page of links for people.
func (a *Admin) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Verdict</title>
<h1>Verdict</h1>
<ul>
<li><a href="/metrics">/metrics</a>: metrics for Prometheus
<li><a href="/healthz">/healthz</a>: whether Verdict works or can recover by itself
<li><a href="/readyz">/readyz</a>: whether Verdict takes work now
`)
	if a.opts.Pprof {
		io.WriteString(w, `<li><a href="/debug/pprof/">/debug/pprof/</a>: profiles`+"\n")
	}
	io.WriteString(w, "</ul>\n</html>\n")
}

// scrapeLog logs the errors of promhttp with slog.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Warn("scrape incomplete", "err", fmt.Sprint(v...))
}
