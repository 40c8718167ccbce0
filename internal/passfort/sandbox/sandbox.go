// Package sandbox is a server that behaves like the PassFort API, as far as it
// is public: to try a service against it, to measure, and to test, with faults
// injected and every call observed. Any profile and task whose IDs have the right
// shape exists, as INCOMPLETE, from its first touch on, and remembers its state.
//
// It is an http.Handler. Listening, TLS and time-outs are its caller's. It says
// nothing about what the real API would do where that is unknown.
package sandbox

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"sync/atomic"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Options configures a Sandbox.
type Options struct {
	// Key is the API key that is accepted. Empty means "sandbox".
	Key string

	// Latency is how long each call takes, Jitter how much longer at the most,
	// evenly distributed. 0 means none. Calls that are refused for their key or by
	// the rate limit don't take it.
	Latency, Jitter time.Duration

	// RateLimit is how many calls a second the profiles' endpoints take (GCRA);
	// whoami is not limited. 0 means no limit, and no rate-limit headers.
	RateLimit float64

	// Burst is how many calls may come at once within the limit. 0 means those of
	// one second, at least 1.
	Burst int

	// ErrorRate is the share of calls answered 503, from 0 to 1. Which calls of
	// the sequence these are depends on Seed alone.
	ErrorRate float64

	// RejectRate is the share of tasks that are answered 404, from 0 to 1. Which
	// tasks these are depends on their IDs and Seed alone, so a retry meets the
	// same. They are not listed and never remembered.
	RejectRate float64

	// Seed chooses errors, rejects and jitter. 0 is a seed like any other.
	Seed uint64

	// Profiles are the tasks that profiles have from the start. Nil: none, so that
	// a profile lists the tasks that were touched. See SeededProfiles and
	// ReadProfiles.
	Profiles Profiles

	// Observe, if there is one, is told of each call once it was read, before
	// anything else is done with it. It runs in the call's goroutine.
	Observe func(Call)

	// Fault, if there is one, is asked of each call after Observe, whether and how
	// it is to go wrong. The zero Fault means it is not.
	Fault func(Call) Fault
}

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

// Operations of the sandbox beyond those that the client makes.
const (
	OpGetProfile passfort.Operation = "get_profile"
	OpUnknown    passfort.Operation = "unknown" // no such path, or not with this method
)

// Call is a call as it arrived.
type Call struct {
	Number    int64 // 1 for the first that arrived
	Time      time.Time
	Operation passfort.Operation
	ProfileID string         // lower case; empty if the path names none
	TaskID    string         // lower case; empty if the path names none
	State     decision.State // asked for by OpComplete; empty if the body is not valid
	Key       string         // as sent
	Trace     string         // the header traceparent, as sent
}

// Sandbox is the server.
type Sandbox struct {
	options Options
	started time.Time
	key     atomic.Pointer[string]
	limiter *limiter // nil: no limit
	tasks   tasks

	// All counters are written by each call's goroutine and read by Stats.
	requests          atomic.Int64
	completions       atomic.Int64
	repeatCompletions atomic.Int64
	inFlight          atomic.Int64
	maxInFlight       atomic.Int64
	worked            atomic.Int64 // calls that came as far as the draw of ErrorRate
	byStatus          [1000]atomic.Int64
}

// New makes a Sandbox. It starts nothing and need not be closed.
func New(o Options) (*Sandbox, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if o.Key == "" {
		o.Key = "sandbox"
	}
	s := &Sandbox{options: o, started: time.Now()}
	s.SetKey(o.Key)
	if o.RateLimit > 0 {
		s.limiter = newLimiter(o.RateLimit, o.Burst)
	}
	s.tasks.init()
	return s, nil
}

// SetKey changes the accepted key. Calls that were accepted go on.
func (s *Sandbox) SetKey(key string) { s.key.Store(&key) }

// arrive counts a call in, and is its number.
func (s *Sandbox) arrive() int64 {
	n := s.inFlight.Add(1)
	for {
		most := s.maxInFlight.Load()
		if n <= most || s.maxInFlight.CompareAndSwap(most, n) {
			break
		}
	}
	return s.requests.Add(1)
}

// Stats is what happened so far, as GET /_sandbox/stats tells it.
type Stats struct {
	Requests          int64            `json:"requests"`           // API calls that arrived
	Completions       int64            `json:"completions"`        // completions carried out, also where a Fault spoilt the answer
	ByStatus          map[string]int64 `json:"by_status"`          // answers that began, by status
	MaxInFlight       int64            `json:"max_in_flight"`      // calls at the same time
	DistinctTasks     int64            `json:"distinct_tasks"`     // tasks touched, by looking or completing
	RepeatCompletions int64            `json:"repeat_completions"` // completions of a task that was already complete, in either state
}

// Stats is what happened so far. While calls are running its numbers need not
// belong to one moment.
func (s *Sandbox) Stats() Stats {
	by := make(map[string]int64)
	for status := range s.byStatus {
		if n := s.byStatus[status].Load(); n > 0 {
			by[fmt.Sprint(status)] = n
		}
	}
	return Stats{
		Requests:          s.requests.Load(),
		Completions:       s.completions.Load(),
		ByStatus:          by,
		MaxInFlight:       s.maxInFlight.Load(),
		DistinctTasks:     s.tasks.count(),
		RepeatCompletions: s.repeatCompletions.Load(),
	}
}

// rejects says whether the task is one of those that are answered 404.
func (s *Sandbox) rejects(id taskID) bool {
	return s.options.RejectRate > 0 && share(id.hash(s.options.Seed)) < s.options.RejectRate
}

// complete carries a completion out.
func (s *Sandbox) complete(id taskID, state decision.State) {
	s.completions.Add(1)
	if s.tasks.complete(id, s.initial(id), state) {
		s.repeatCompletions.Add(1)
	}
}

// wait takes the latency of the n-th call, or until the client is gone, which it
// reports as false.
func (s *Sandbox) wait(r *http.Request, n int64) bool {
	d := s.options.Latency
	if j := s.options.Jitter; j > 0 {
		d += time.Duration(share(mix(s.options.Seed^jitterSalt, uint64(n))) * float64(j))
	}
	return pause(r, d)
}

func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// jitterSalt keeps the draw of the jitter apart from that of the errors.
const jitterSalt = 0x6a09e667f3bcc909

// mix is a hash of two numbers, good enough to draw lots with.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	x := hi ^ lo
	x = (x ^ x>>32) * 0xe7037ed1a0b428db
	return x ^ x>>29
}

// share is x as a number from 0 up to, not including, 1.
func share(x uint64) float64 { return float64(x>>11) / (1 << 53) }
