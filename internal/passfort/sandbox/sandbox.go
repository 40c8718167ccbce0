// Package sandbox is an HTTP handler that behaves like the PassFort API, as far as
// its documentation describes it. Use it to try a service, to measure it, and to test
// it: it can inject faults, and reports every call. Any well-formed profile and task ID
// exists, as INCOMPLETE, from the first call that names it, and a task remembers its
// state.
//
// Listening, TLS and timeouts are left to the caller. Where the documentation says
// nothing, the sandbox does not predict what the real API does.
package sandbox

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// DefaultKey is the API key that a sandbox accepts if Options.Key is empty.
const DefaultKey = "sandbox"

// Options configures a Sandbox.
type Options struct {
	// Key is the API key to accept. Empty means DefaultKey.
	Key string

	// Latency is how long each call takes. Jitter is added to it, uniformly distributed
	// from 0 up to Jitter. 0 means none. Calls refused for their key or by the rate
	// limit return at once.
	Latency, Jitter time.Duration

	// RateLimit is how many calls per second the endpoints of profiles accept (GCRA);
	// whoami is not limited. 0 means no limit and no rate-limit headers.
	RateLimit float64

	// Burst is how many calls may come at once within the limit. 0 means the calls of
	// one second, at least 1.
	Burst int

	// ErrorRate is the share of calls that are answered 503, from 0 to 1. Which calls in
	// the sequence fail depends on Seed only.
	ErrorRate float64

	// RejectRate is the share of tasks that do not exist and are answered 404, from 0 to
	// 1. Which tasks these are depends on their IDs and Seed only, so a retry gets the
	// same answer. Rejected tasks are neither listed nor remembered.
	RejectRate float64

	// Seed determines errors, rejected tasks and jitter. 0 is a seed like any other.
	Seed uint64

	// Profiles returns the tasks that a profile has from the start; see SeededProfiles
	// and ReadProfiles. Nil means none: a profile then lists the tasks that calls named.
	Profiles Profiles

	// Observe, if set, gets each call after it was read and before it is processed. It
	// runs in the goroutine of the call.
	Observe func(Call)

	// Fault, if set, returns how a call fails; it runs after Observe. The zero Fault means
	// that the call succeeds.
	Fault func(Call) Fault
}

// validate returns an error that names every bad field.
func (o Options) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Latency", o.Latency}, {"Jitter", o.Jitter}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is negative, want 0 or more", d.name, d.value))
		}
	}
	for _, share := range []struct {
		name  string
		value float64
	}{{"ErrorRate", o.ErrorRate}, {"RejectRate", o.RejectRate}} {
		if !(share.value >= 0 && share.value <= 1) {
			errs = append(errs, fmt.Errorf("%s: %v, want a share from 0 to 1", share.name, share.value))
		}
	}
	if !(o.RateLimit >= 0) || math.IsInf(o.RateLimit, 0) {
		errs = append(errs, fmt.Errorf("RateLimit: %v, want calls per second, or 0 for no limit", o.RateLimit))
	}
	if o.Burst < 0 {
		errs = append(errs, fmt.Errorf("Burst: %d is negative, want 1 or more, or 0 for one second's calls", o.Burst))
	}
	return errors.Join(errs...)
}

// Operations that the sandbox knows besides those of passfort.Client.
const (
	OpGetProfile passfort.Operation = "get_profile"
	OpUnknown    passfort.Operation = "unknown" // unknown path, or a known one with another method
)

// Call is a call as it arrived.
type Call struct {
	Number    int64 // counts calls from 1, in the order in which they arrive
	Time      time.Time
	Operation passfort.Operation
	ProfileID string         // lower case; empty if the path has none
	TaskID    string         // lower case; empty if the path has none
	State     decision.State // requested by OpComplete; empty if the body is not valid
	Key       string         // the header apikey
	Trace     string         // the header traceparent
}

// Sandbox is an http.Handler that behaves like the API.
type Sandbox struct {
	options Options
	started time.Time
	key     atomic.Pointer[string]
	limiter *limiter // nil without a limit
	tasks   tasks
	counts  counters
}

// New returns a Sandbox. It starts nothing and need not be closed.
func New(o Options) (*Sandbox, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if o.Key == "" {
		o.Key = DefaultKey
	}
	s := &Sandbox{options: o, started: time.Now()}
	s.SetKey(o.Key)
	if o.RateLimit > 0 {
		s.limiter = newLimiter(o.RateLimit, o.Burst)
	}
	s.tasks.init()
	return s, nil
}

// SetKey changes the accepted key. Running calls are not affected.
func (s *Sandbox) SetKey(key string) { s.key.Store(&key) }
