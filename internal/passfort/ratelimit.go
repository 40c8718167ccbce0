package passfort

import (
	"math"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a server may ask for. A value beyond is taken as the bound: the
// wish is plain, and a mistaken or hostile one must not stop a service for a day.
const (
	MaxRetryAfter = 5 * time.Minute
	MaxReset      = time.Hour
	maxRemaining  = 1 << 30
)

// The headers, as net/http spells their keys.
const (
	headerRemaining = "X-Ratelimit-Remaining"
	headerResetSecs = "X-Ratelimit-Reset-Secs"
	headerReset     = "X-Ratelimit-Reset"
	headerRetrySecs = "X-Ratelimit-Retry-Secs"
	headerRetry     = "Retry-After"
)

// RateLimit is what an answer said about limits. What is missing or can't be
// understood is not said.
type RateLimit struct {
	// Remaining is how many calls may follow at once; -1: not said.
	Remaining int

	// Reset is the time until the whole allowance is back, at most MaxReset.
	// HasReset: it was said.
	Reset    time.Duration
	HasReset bool

	// RetryAfter is the time to wait before the next call, at most MaxRetryAfter.
	// HasRetryAfter: it was said.
	RetryAfter    time.Duration
	HasRetryAfter bool
}

// noRateLimit is the RateLimit of an answer that said nothing.
var noRateLimit = RateLimit{Remaining: -1}

// parseRateLimit reads X-RateLimit-Remaining; X-RateLimit-Reset-Secs, else the
// date X-RateLimit-Reset; X-RateLimit-Retry-Secs, else Retry-After in seconds or
// as a date. A header that is garbage is passed over for the next one.
func parseRateLimit(h http.Header, now time.Time) RateLimit {
	r := noRateLimit
	if n, ok := parseNumber(first(h, headerRemaining)); ok {
		r.Remaining = int(min(n, maxRemaining))
	}
	if r.Reset, r.HasReset = parseSeconds(first(h, headerResetSecs), MaxReset); !r.HasReset {
		r.Reset, r.HasReset = parseDate(h, first(h, headerReset), now, MaxReset)
	}
	if r.RetryAfter, r.HasRetryAfter = parseSeconds(first(h, headerRetrySecs), MaxRetryAfter); r.HasRetryAfter {
		return r
	}
	retry := first(h, headerRetry)
	if r.RetryAfter, r.HasRetryAfter = parseSeconds(retry, MaxRetryAfter); !r.HasRetryAfter {
		r.RetryAfter, r.HasRetryAfter = parseDate(h, retry, now, MaxRetryAfter)
	}
	return r
}

// first is the header's first value. http.Header.Get would do the same and
// canonicalise the key each time.
func first(h http.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return strings.TrimSpace(v[0])
	}
	return ""
}

// parseNumber takes digits with or without a fraction, and nothing else that
// strconv would: no sign, exponent, hexadecimal, NaN or infinity.
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

func parseSeconds(s string, most time.Duration) (time.Duration, bool) {
	n, ok := parseNumber(s)
	switch {
	case !ok:
		return 0, false
	case n >= most.Seconds():
		return most, true
	}
	return time.Duration(math.Ceil(n * float64(time.Second))), true
}

// parseDate is the time until the date s, 0 if it is past. It is measured from
// the answer's own Date where there is one, so that a clock that is wrong here or
// there makes no difference.
func parseDate(h http.Header, s string, now time.Time, most time.Duration) (time.Duration, bool) {
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
	return min(max(at.Sub(now), 0), most), true
}
