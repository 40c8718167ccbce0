package passfort

import (
	"fmt"
	"strings"
)

// Error says why a call failed. It is the only type of error that Client returns
// from calls.
type Error struct {
	Operation Operation
	Kind      Kind
	Status    int    // HTTP status; 0 if no answer came or no call was made
	Codes     []int  // codes of the errors in the body, at most 16
	Message   string // one line, at most 1 KiB, without the key and control characters

	// MaybeApplied reports that the server may have completed the task although no
	// answer says so, so look at the task before you complete it again. It is set if
	// no answer, or only a part of it, came after the request began to go out, for
	// every 5xx but 503, and for a 2xx that does not confirm the completion. It is
	// not set if the server was not reached or refused (503, 408, 429 and every
	// other 4xx), and never for calls that change nothing.
	MaybeApplied bool

	err error // the underlying error; nil if the answer itself is the failure
}

// Error returns operation, status, kind and message as one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Operation))
	b.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d ", e.Status)
	}
	b.WriteString(e.Kind.String())
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
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
	KindServer                      // 5xx
	KindThrottled                   // 429
	KindKey                         // the API refused the key, or the key cannot be sent
	KindNotFound                    // 404
	KindRejected                    // refused permanently
	KindUnconfirmed                 // 2xx that does not say what was asked for
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
