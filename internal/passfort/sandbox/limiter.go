package sandbox

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter implements the generic cell rate algorithm (GCRA), which the API's
// documentation names. Its state is one number, the theoretical arrival time of the next
// call.
type limiter struct {
	interval time.Duration // between calls at the full rate
	maxAhead time.Duration // how far the arrival time may be ahead: burst x interval

	mu   sync.Mutex
	next time.Time // theoretical arrival time of the next call
}

func newLimiter(rate float64, burst int) *limiter {
	if burst == 0 {
		burst = int(max(1, min(rate, math.MaxInt32)))
	}
	interval := max(1, time.Duration(float64(time.Second)/rate))
	return &limiter{interval: interval, maxAhead: interval * time.Duration(burst)}
}

// allowance is the limiter's answer to a call.
type allowance struct {
	granted   bool
	remaining int           // calls that may follow at once
	reset     time.Duration // until the whole burst is available again
	retry     time.Duration // if not granted: until the next call may be made
}

// take asks for one call at now.
func (l *limiter) take(now time.Time) allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	ahead := max(l.next.Sub(now), 0)
	if after := ahead + l.interval; after > l.maxAhead {
		return allowance{reset: ahead, retry: after - l.maxAhead}
	}
	ahead += l.interval
	l.next = now.Add(ahead)
	return allowance{granted: true, remaining: int((l.maxAhead - ahead) / l.interval), reset: ahead}
}

// writeHeaders sets the documented headers. Seconds are rounded up to a millisecond, so
// that a client that waits that long is not refused again.
func (a allowance) writeHeaders(h http.Header, now time.Time) {
	h.Set("X-RateLimit-Remaining", strconv.Itoa(a.remaining))
	h.Set("X-RateLimit-Reset-Secs", seconds(a.reset))
	h.Set("X-RateLimit-Reset", now.Add(a.reset+time.Second-1).UTC().Format(time.RFC1123Z))
	if !a.granted {
		h.Set("X-RateLimit-Retry-Secs", seconds(a.retry))
	}
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(math.Ceil(float64(d)/float64(time.Millisecond))/1000, 'f', 3, 64)
}
