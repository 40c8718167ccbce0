package cli

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"

	"github.com/spf13/cobra"

	"verdict/internal/passfort/sandbox"
)

func sandboxCommand(s Process) *cobra.Command {
	var addr string
	var o sandbox.Options
	var profiles string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a sandbox of the PassFort API, to test against",
		Long: `Sandbox serves the endpoints of the PassFort API that Verdict uses. Every
well-formed profile ID and task ID exists: a task is INCOMPLETE until the first
call that completes it, and keeps its state. GET /_sandbox/stats returns counts
of the calls so far.

Each profile also has generated tasks, which GET /4.0/profiles/ID/tasks lists.
They depend on the profile's ID and --seed, and have the aliases identity,
address, screening, source-of-funds and final-review. Some are skipped, and some
follow an expired task. To use other tasks, give a JSON file with --profiles:

  {"PROFILE-ID": [{"id": "TASK-ID", "type": "…", "state": "…", "is_expired": false,
    "is_skipped": false, "variant": {"id": "…", "alias": "…"}}]}

The ID of a variant is not a task's ID: calls with it are answered with 404.`,
		Example: `  verdict sandbox --latency 50ms --error-rate 0.01

  # Run the service against it
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
	f.StringVar(&addr, "addr", "127.0.0.1:8081", "`address` to listen on, as host:port")
	f.StringVar(&o.Key, "api-key", "sandbox", "accepted API `key`")
	f.DurationVar(&o.Latency, "latency", 0, "latency of a call")
	f.DurationVar(&o.Jitter, "jitter", 0, "maximum random latency to add")
	f.Float64Var(&o.RateLimit, "rate-limit", 0, "accepted `calls` per second (GCRA; 0: no limit)")
	f.Float64Var(&o.ErrorRate, "error-rate", 0, "`share` of calls that are answered with 503 (0 to 1)")
	f.Float64Var(&o.RejectRate, "reject-rate", 0, "`share` of tasks that are answered with 404 (0 to 1)")
	f.Uint64Var(&o.Seed, "seed", 0, "`seed` of errors, rejections, jitter and generated tasks")
	f.StringVar(&profiles, "profiles", "", "read the tasks of profiles from this JSON `FILE` instead of generating them")
	for _, flag := range []string{"addr", "api-key", "latency", "jitter", "rate-limit", "error-rate", "reject-rate", "seed"} {
		completeValues(cmd, flag, nil)
	}
	completeFiles(cmd, "profiles", "json")
	return cmd
}

// addrFault returns an error if --addr is not host:port.
func addrFault(addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--addr: is %q; want host:port, such as 127.0.0.1:8081", addr)
	}
	return nil
}

// sandboxFaults returns every fault of the flags of a sandbox.
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
