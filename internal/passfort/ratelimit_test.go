package passfort

import (
	"net/http"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestParseRateLimitHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		want   RateLimit
	}{
		"nothing said": {headers(), RateLimit{Remaining: -1}},
		"remaining and reset": {
			headers("X-RateLimit-Remaining", "7", "X-RateLimit-Reset-Secs", "1.5"),
			RateLimit{Remaining: 7, Reset: 1500 * time.Millisecond, HasReset: true},
		},
		"seconds before date": {
			headers("X-RateLimit-Reset-Secs", "3", "X-RateLimit-Reset", "Sun, 01 Mar 2026 12:00:30 +0000"),
			RateLimit{Remaining: -1, Reset: 3 * time.Second, HasReset: true, CoarseReset: true},
		},
		"date in another zone": {
			headers("X-RateLimit-Reset", "Sun, 1 Mar 2026 13:00:30 +0100"),
			RateLimit{Remaining: -1, Reset: 30 * time.Second, HasReset: true, CoarseReset: true},
		},
		"date is measured from the answer's own": {
			headers("X-RateLimit-Reset", "Mon, 02 Mar 2026 07:00:05 GMT", "Date", "Mon, 02 Mar 2026 07:00:00 GMT"),
			RateLimit{Remaining: -1, Reset: 5 * time.Second, HasReset: true, CoarseReset: true},
		},
		"date that is past": {
			headers("X-RateLimit-Reset", "Sun, 01 Mar 2026 11:00:00 +0000"),
			RateLimit{Remaining: -1, HasReset: true, CoarseReset: true},
		},
		"own retry before the standard one": {
			headers("X-RateLimit-Retry-Secs", "0.25", "Retry-After", "9"),
			RateLimit{Remaining: -1, RetryAfter: 250 * time.Millisecond},
		},
		"standard retry after garbage": {
			headers("X-RateLimit-Retry-Secs", "soon", "Retry-After", " 9 "),
			RateLimit{Remaining: -1, RetryAfter: 9 * time.Second},
		},
		"retry as a date": {
			headers("Retry-After", "Sun, 01 Mar 2026 12:01:00 GMT"),
			RateLimit{Remaining: -1, RetryAfter: time.Minute},
		},
		"retry at once": {
			headers("X-RateLimit-Retry-Secs", "0", "Retry-After", "9"),
			RateLimit{Remaining: -1},
		},
	} {
		if got := parseRateLimit(c.header, noon); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestParseRateLimitBoundsHostileHeaders(t *testing.T) {
	for _, garbage := range []string{
		"-1", "+5", "NaN", "Inf", "1e3", "0x10", "1_0", "..", ".", "", "1.2.3", "5s", "١٢", "999999999999999999999999999999999999999",
		"Sun, 99 Mar 2026 12:00:00 GMT",
	} {
		h := headers("X-RateLimit-Remaining", garbage, "X-RateLimit-Reset-Secs", garbage, "X-RateLimit-Reset", garbage,
			"X-RateLimit-Retry-Secs", garbage, "Retry-After", garbage)
		if got := parseRateLimit(h, noon); got != noRateLimit {
			t.Errorf("%q was understood as %+v", garbage, got)
		}
	}
	for _, huge := range []string{"99999999999999999999", "86400000"} {
		h := headers("X-RateLimit-Remaining", huge, "X-RateLimit-Reset-Secs", huge, "X-RateLimit-Retry-Secs", huge)
		got := parseRateLimit(h, noon)
		if got.Reset != MaxReset || got.RetryAfter != MaxRetryAfter || got.Remaining < 1 || got.Remaining > maxRemaining {
			t.Errorf("%q: got %+v, want the bounds", huge, got)
		}
	}
	got := parseRateLimit(headers("Retry-After", "Sun, 01 Mar 9999 12:00:00 GMT"), noon)
	if got.RetryAfter != MaxRetryAfter {
		t.Errorf("far date: got %+v, want %s", got, MaxRetryAfter)
	}
}

func FuzzParseRateLimit(f *testing.F) {
	f.Add("1", "2.5", "Sun, 01 Mar 2026 12:00:30 +0000", "3", "Sun, 01 Mar 2026 12:01:00 GMT", "Sun, 01 Mar 2026 12:00:00 GMT")
	f.Add("-1", "NaN", "garbage", "1e309", "-5", "0")
	f.Add("99999999999999999999", "9e99", "Sun, 01 Mar 0000 12:00:00 GMT", "0x1p10", "5 minutes", "\x00")
	f.Fuzz(func(t *testing.T, remaining, secs, reset, retrySecs, retry, date string) {
		got := parseRateLimit(http.Header{
			headerRemaining: {remaining}, headerResetSecs: {secs}, headerReset: {reset},
			headerRetrySecs: {retrySecs}, headerRetry: {retry}, "Date": {date},
		}, noon)
		switch {
		case got.Remaining < -1 || got.Remaining > maxRemaining,
			got.Reset < 0 || got.Reset > MaxReset || !got.HasReset && got.Reset != 0,
			got.RetryAfter < 0 || got.RetryAfter > MaxRetryAfter:
			t.Errorf("out of bounds: %+v", got)
		}
	})
}
