package passfort

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Error says why a call failed. It is the only type of error that Client returns
// from calls.
type Error struct {
	Operation Operation
	Kind      Kind
	Status    int   // HTTP status; 0 if no answer came or no call was made
	Codes     []int // codes of the errors in the body, at most 16

	// Message is one line, at most 1 KiB, without the key and control characters. It
	// may quote the answer, which may name people: it must not be logged.
	Message string

	// MaybeApplied reports that the server may have completed the task although no
	// answer says so, so look at the task before you complete it again. It is set if
	// no answer, or only a part of it, came after the request began to go out, for
	// every 5xx but 503, for 499, for a 2xx that does not confirm the completion, and
	// for an answer that is not the API's. It is not set if the server was not reached
	// or refused (503, 408, 429 and other 4xx), and never for calls that change nothing.
	MaybeApplied bool

	// Foreign reports that the answer does not look like the API's. It is set for every
	// KindForeign, and for a KindKey whose body is something else.
	Foreign bool

	// RetryAfter is how long to wait before the next try, at most MaxRetryAfter. Only a
	// 503 sets it; 0: the answer does not say.
	RetryAfter time.Duration

	detail string // what happened in this package's own words; may be logged
	err    error  // the underlying error; nil if the answer itself is the failure
}

// Error returns operation, status, kind, message and codes as one line. It must not be
// logged, because of the message; see Summary.
func (e *Error) Error() string { return e.describe(e.Message) }

// Summary is Error without any text of the answer, for logs and traces.
func (e *Error) Summary() string { return e.describe(e.detail) }

// LogValue makes slog log the summary.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Summary()) }

func (e *Error) describe(text string) string {
	var b strings.Builder
	b.WriteString(string(e.Operation))
	b.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d ", e.Status)
	}
	b.WriteString(e.Kind.String())
	if text != "" {
		b.WriteString(": ")
		b.WriteString(text)
	}
	if len(e.Codes) > 0 {
		fmt.Fprintf(&b, " (codes %v)", e.Codes)
	}
	return b.String()
}

// Unwrap returns the error of the transport, decoder or context, if any.
func (e *Error) Unwrap() error { return e.err }

// Kind is a kind of failure.
type Kind uint8

// The kinds. The table in classify says what each of them includes.
const (
	KindTimeout     Kind = iota + 1 // no answer within Options.Timeout, or 408
	KindConnection                  // server not reached, or connection cut
	KindServer                      // 5xx, or a 4xx that asks to try again: 421, 423, 425, 499
	KindThrottled                   // 429
	KindKey                         // the API refused the key, or the key cannot be sent
	KindForeign                     // answer of something else than the API: a redirect, a page, a 4xx without the API's errors
	KindNotFound                    // 404
	KindRejected                    // refused permanently
	KindUnconfirmed                 // 2xx of the API, or an empty one, that does not say what was asked for
	KindInvalid                     // bad arguments; no call was made
	KindCanceled                    // the caller's context ended
)

var kindNames = [...]string{
	0:               "none",
	KindTimeout:     "timeout",
	KindConnection:  "connection",
	KindServer:      "server",
	KindThrottled:   "throttled",
	KindKey:         "key",
	KindForeign:     "foreign",
	KindNotFound:    "not_found",
	KindRejected:    "rejected",
	KindUnconfirmed: "unconfirmed",
	KindInvalid:     "invalid",
	KindCanceled:    "canceled",
}

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}
