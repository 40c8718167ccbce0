package passfort

import (
	"math"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a server can ask for. Larger values count as the bound, so that a
// wrong or hostile value cannot stop the service for a day.
const (
	MaxRetryAfter = 5 * time.Minute
	MaxReset      = time.Hour
	maxRemaining  = 1 << 30
)

// The headers, in the canonical form of net/http.
const (
	headerRemaining = "X-Ratelimit-Remaining"
	headerResetSecs = "X-Ratelimit-Reset-Secs"
	headerReset     = "X-Ratelimit-Reset"
	headerRetrySecs = "X-Ratelimit-Retry-Secs"
	headerRetry     = "Retry-After"
)

// RateLimit is what an answer says about limits. Missing and malformed headers say
// nothing.
type RateLimit struct {
	// Remaining is how many calls may follow at once; -1 if the answer does not say.
	Remaining int

	// Reset is the time until the whole allowance is available again, at most MaxReset.
	// HasReset is false if the answer does not say.
	Reset    time.Duration
	HasReset bool
	// CoarseReset reports that Reset came in whole seconds, so that up to a second of
	// it may have passed.
	CoarseReset bool

	// RetryAfter is the time to wait before the next call, at most MaxRetryAfter; 0 also
	// if the answer does not say.
	RetryAfter time.Duration
}

// noRateLimit is the RateLimit of an answer that says nothing about limits.
var noRateLimit = RateLimit{Remaining: -1}

// parseRateLimit reads X-RateLimit-Remaining; X-RateLimit-Reset-Secs, or the date
// X-RateLimit-Reset; X-RateLimit-Retry-Secs, or Retry-After as seconds or a date. A
// malformed header counts as missing.
func parseRateLimit(h http.Header, now time.Time) RateLimit {
	r := noRateLimit
	if n, ok := parseNumber(first(h, headerRemaining)); ok {
		r.Remaining = int(min(n, maxRemaining))
	}
	secs := first(h, headerResetSecs)
	if r.Reset, r.HasReset = parseSeconds(secs, MaxReset); !r.HasReset {
		secs = ""
		r.Reset, r.HasReset = parseDate(h, first(h, headerReset), now, MaxReset)
	}
	r.CoarseReset = r.HasReset && !strings.Contains(secs, ".")
	retry := first(h, headerRetry)
	var ok bool
	if r.RetryAfter, ok = parseSeconds(first(h, headerRetrySecs), MaxRetryAfter); !ok {
		if r.RetryAfter, ok = parseSeconds(retry, MaxRetryAfter); !ok {
			r.RetryAfter, _ = parseDate(h, retry, now, MaxRetryAfter)
		}
	}
	return r
}

// first returns the header's first value. Unlike http.Header.Get it does not
// canonicalize the key each time.
func first(h http.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return strings.TrimSpace(v[0])
	}
	return ""
}

// parseNumber parses digits with an optional fraction. Unlike strconv it accepts no
// sign, exponent, hexadecimal number, NaN or infinity.
func parseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 32 {
		return 0, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// parseSeconds parses seconds and rounds up to the nanosecond.
func parseSeconds(s string, limit time.Duration) (time.Duration, bool) {
	n, ok := parseNumber(s)
	switch {
	case !ok:
		return 0, false
	case n >= limit.Seconds():
		return limit, true
	}
	return time.Duration(math.Ceil(n * float64(time.Second))), true
}

// parseDate returns the time until the date s, and 0 if it has passed. It counts from
// the answer's Date header, if any, so that a wrong clock on either side makes no
// difference.
func parseDate(h http.Header, s string, now time.Time, limit time.Duration) (time.Duration, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	at, err := http.ParseTime(s)
	if err != nil {
		if at, err = mail.ParseDate(s); err != nil {
			return 0, false
		}
	}
	if date, err := http.ParseTime(first(h, "Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), limit), true
}
