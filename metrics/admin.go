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

// Bounds of the admin server. None is a setting: nobody needs another value.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second // pprof adds the seconds of a profile by itself
	idleTimeout       = 2 * time.Minute  // beyond the usual scrape interval, so that its connection is kept
	maxHeaderBytes    = 16 << 10
	maxScrapes        = 8               // at a time; further ones are answered 503
	stopGrace         = 2 * time.Second // for open requests when Serve is to end
)

// Options says what the admin server shows.
type Options struct {
	Addr     string              // host:port to listen on; port 0: any free one; empty: no admin server
	Gatherer prometheus.Gatherer // what /metrics shows; nil: prometheus.DefaultGatherer
	Ready    func() error        // /readyz: nil when work is taken, else why not; nil func: always ready
	Healthy  func() error        // /healthz: nil when work can be done or will be again by itself, else why not; nil func: always healthy
	Pprof    bool                // whether /debug/pprof/ is there
	Logger   *slog.Logger        // nil: nothing is logged
}

// Admin is the HTTP server for those who run Verdict: metrics, health,
// readiness and profiles. It has no authentication of its own, so it belongs on
// a loopback address or in a closed network.
type Admin struct {
	opts     Options
	listener net.Listener // set by Listen, read by Addr and Serve
}

// NewAdmin makes an admin server; Listen and Serve start it.
func NewAdmin(o Options) *Admin {
	if o.Gatherer == nil {
		o.Gatherer = prometheus.DefaultGatherer
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Admin{opts: o}
}

// Listen binds the address. It is apart from Serve so that a port that is taken
// is said before any other work begins.
func (a *Admin) Listen() error {
	if a.opts.Addr == "" {
		return nil
	}
	l, err := net.Listen("tcp", a.opts.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("admin server: %w: another program, maybe a second Verdict, has it; set admin.addr to a free address, or to \"\" for no admin server", err)
	}
	if err != nil {
		return fmt.Errorf("admin server: %w: set admin.addr to an address of this machine as host:port, or to \"\" for no admin server", err)
	}
	a.listener = l
	return nil
}

// Addr is the address bound by Listen, with the port that it got; empty where
// there is no admin server.
func (a *Admin) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Serve answers until ctx ends, then gives open requests a moment, closes what
// is left and returns. The caller owns the goroutine that it runs in. Without
// an admin server it waits for the end of ctx.
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
		// A profile of half a minute ends with ctx, and does not hold up the stop.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(a.listener) }()

	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("admin server: serve %s: %w", a.Addr(), err), srv.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		// Somebody reads slowly; an admin request is not worth waiting for.
		err = srv.Close()
	}
	<-served
	return err
}

// Handler is what the admin server answers.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{a.opts.Logger},
		// One broken collector must not hide the others.
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.Handle("GET /healthz", probe(a.opts.Healthy))
	mux.Handle("GET /readyz", probe(a.opts.Ready))
	mux.HandleFunc("GET /{$}", a.index)
	if a.opts.Pprof {
		// Not /debug/pprof/cmdline: a secret may have been given as a flag.
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// probe answers 200 ok, or 503 and why.
func probe(check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	})
}

// index is a page for a person who typed the address.
func (a *Admin) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Verdict</title>
<h1>Verdict</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: can it work, or recover by itself
<li><a href="/readyz">/readyz</a>: does it take work now
`)
	if a.opts.Pprof {
		io.WriteString(w, `<li><a href="/debug/pprof/">/debug/pprof/</a>: profiles`+"\n")
	}
	io.WriteString(w, "</ul>\n</html>\n")
}

// scrapeLog gives promhttp's complaints to slog.
type scrapeLog struct{ log *slog.Logger }

// Println is promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Warn("metrics not complete", "err", fmt.Sprint(v...))
}
