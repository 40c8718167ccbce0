package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"verdict/passfort/sandbox"
)

func sandboxCommand(s surroundings) *cobra.Command {
	var addr string
	var o sandbox.Options
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve an API that behaves like PassFort's, to point a run at",
		Long: `Sandbox serves the endpoints that Verdict uses. Any profile and task whose IDs
have the right shape exists, as INCOMPLETE, from its first touch on, and
remembers its state. GET /_sandbox/stats says what happened so far.`,
		Example: `  verdict sandbox --latency 50ms --error-rate 0.01
  verdict run --api-base-url http://127.0.0.1:8081/4.0 --api-key sandbox`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			box, err := sandbox.New(o)
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			var listen net.ListenConfig
			listener, err := listen.Listen(cmd.Context(), "tcp", addr)
			if err != nil {
				return fmt.Errorf("listen on %s (choose another with --addr): %w", addr, err)
			}
			fmt.Fprintf(s.err, "the sandbox API is at http://%s/4.0\n", listener.Addr())
			return serveHTTP(cmd.Context(), listener, box)
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "addr", "127.0.0.1:8081", "address to listen on")
	f.StringVar(&o.Key, "api-key", "sandbox", "API key that is accepted")
	f.DurationVar(&o.Latency, "latency", 0, "how long a call takes")
	f.DurationVar(&o.Jitter, "jitter", 0, "how much longer at the most, at random")
	f.Float64Var(&o.RateLimit, "rate-limit", 0, "calls per second that are taken (GCRA; 0: no limit)")
	f.Float64Var(&o.ErrorRate, "error-rate", 0, "share of calls that are answered 503, 0 to 1")
	f.Float64Var(&o.RejectRate, "reject-rate", 0, "share of tasks that are answered 404, 0 to 1")
	f.Uint64Var(&o.Seed, "seed", 0, "chooses errors, rejects and jitter")
	return cmd
}

// serveHTTP serves until ctx ends, and then gives calls a moment to end.
func serveHTTP(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(ending) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
