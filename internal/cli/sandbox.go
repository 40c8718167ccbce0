package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"verdict/internal/passfort/sandbox"
)

func sandboxCommand(s Process) *cobra.Command {
	var addr string
	var o sandbox.Options
	var profiles string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve an API that behaves like PassFort's, to point a run at",
		Long: `Sandbox serves the endpoints that Verdict uses. Any profile and task whose IDs
have the right shape exists, as INCOMPLETE, from its first touch on, and
remembers its state. GET /_sandbox/stats says what happened so far.

Beside those, each profile has tasks from the start, to be found by
GET /4.0/profiles/ID/tasks: made up by the profile's ID and --seed, with the
aliases identity, address, screening, source-of-funds and final-review, some
skipped, some with an expired one before. With --profiles FILE they are those
of the file, JSON: {"PROFILE-ID": [{"id": "TASK-ID", "type": "…", "state": "…",
"is_expired": false, "is_skipped": false, "variant": {"id": "…", "alias": "…"}}]}.
The ID of a task's variant is no task's, and is answered 404.`,
		Example: `  verdict sandbox --latency 50ms --error-rate 0.01
  verdict sandbox --profiles profiles.json
  verdict run --api-base-url http://127.0.0.1:8081/4.0 --api-key sandbox`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Profiles = sandbox.SeededProfiles(o.Seed)
			if profiles != "" {
				var err error
				if o.Profiles, err = readProfiles(profiles); err != nil {
					return &usageError{cmd.CommandPath(), fmt.Errorf("--profiles: %w", err)}
				}
			}
			if err := errors.Join(addrFault(addr), sandboxFaults(o)); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			box, err := sandbox.New(o)
			if err != nil {
				return err
			}
			var listen net.ListenConfig
			listener, err := listen.Listen(cmd.Context(), "tcp", addr)
			if err != nil {
				return fmt.Errorf("listen on %s (choose another with --addr): %w", addr, err)
			}
			fmt.Fprintf(s.Err, "the sandbox API is at http://%s/4.0\n", listener.Addr())
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
	f.Uint64Var(&o.Seed, "seed", 0, "chooses errors, rejects, jitter and the tasks of profiles")
	f.StringVar(&profiles, "profiles", "", "JSON file with the tasks that profiles have, in place of made-up ones")
	return cmd
}

// addrFault says what is wrong with --addr.
func addrFault(addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--addr: is %q; want host:port, such as 127.0.0.1:8081", addr)
	}
	return nil
}

// sandboxFaults says everything that is wrong with the flags of a sandbox.
func sandboxFaults(o sandbox.Options) error {
	var faults []error
	fault := func(bad bool, flag string, is any, want string) {
		if bad {
			faults = append(faults, fmt.Errorf("--%s: is %v; want %s", flag, is, want))
		}
	}
	fault(o.Latency < 0, "latency", o.Latency, "0 or more")
	fault(o.Jitter < 0, "jitter", o.Jitter, "0 or more")
	fault(!(o.ErrorRate >= 0 && o.ErrorRate <= 1), "error-rate", o.ErrorRate, "a share from 0 to 1")
	fault(!(o.RejectRate >= 0 && o.RejectRate <= 1), "reject-rate", o.RejectRate, "a share from 0 to 1")
	fault(!(o.RateLimit >= 0 && o.RateLimit <= math.MaxFloat64), "rate-limit", o.RateLimit, "calls per second, or 0 for no limit")
	return errors.Join(faults...)
}

func readProfiles(file string) (sandbox.Profiles, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	profiles, err := sandbox.ReadProfiles(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return profiles, nil
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
