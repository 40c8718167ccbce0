package passfort

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is why a call did not end as asked.
type Error struct {
	Operation Operation
	Kind      Kind
	Status    int    // HTTP status; 0: no answer came, or no call was made
	Codes     []int  // the codes of the body's errors, at most 16
	Message   string // one line, at most 1 KiB, free of the key and of control characters

	// MaybeApplied says that the server may have completed the task although no
	// clear answer came, so that it should be looked at before it is asked again:
	// no answer, or not a whole one, after the request began to go out; a 5xx but
	// 503; a 2xx that does not confirm. It is false where the server was not
	// reached or refused (503, 408, 429, any 4xx), and for calls that only look.
	MaybeApplied bool

	err error // what it came from; nil where the answer is all there is
}

// Error says operation, status, kind and message in one line.
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

// Unwrap is the transport's, the decoder's or the context's error, if any.
func (e *Error) Unwrap() error { return e.err }

// Kind is what kind of failure an Error is.
type Kind uint8

// The kinds; the table in classify says what each one takes in.
const (
	KindTimeout     Kind = iota + 1 // no answer within Options.Timeout, or 408
	KindConnection                  // not reached, or cut
	KindServer                      // 5xx
	KindThrottled                   // 429
	KindKey                         // the key was refused, or can't be sent
	KindNotFound                    // 404
	KindRejected                    // refused for good
	KindUnconfirmed                 // 2xx that does not say what was asked
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

// String is the kind in lower case, fit for a metric label.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// codeInvalidKey is the one code of an error in a body that has a meaning here.
const codeInvalidKey = 204

// finding is all that classify looks at.
type finding struct {
	status   int   // 0: no answer came
	faulty   bool  // the body has errors
	codes    []int // their codes, as far as they have any
	unread   bool  // a 2xx whose body is not what was asked for
	canceled bool  // the exchange broke off and the caller's context has ended
	timedOut bool  // the exchange broke off and the call's own time is over
	sent     bool  // the request began to go out
}

// classify is the one table of failures. It returns 0 for a success. The status
// decides, but for two things that a body says: that the key is refused, and that
// a 2xx is an error. maybeSent is for calls that change something; calls that only
// look never are.
func classify(f finding) (kind Kind, maybeSent bool) {
	switch {
	// The API refused the key. Said in any status, since which one is not promised.
	case slices.Contains(f.codes, codeInvalidKey):
		return KindKey, false

	// The caller gave up before there was a whole answer. A status that came
	// whole, with a body that did not, is judged by the status; but a 2xx without
	// its body is no answer.
	case f.canceled && (f.status == 0 || success(f.status)):
		return KindCanceled, f.sent

	// No answer in time. (Of a 2xx that began in time: below, unconfirmed.)
	case f.status == 0 && f.timedOut:
		return KindTimeout, f.sent

	// Name not found, dial refused, TLS refused, reset, closed, not HTTP, header too
	// large.
	case f.status == 0:
		return KindConnection, f.sent

	// Throttled, whatever else the body says: nothing is lost by waiting.
	case f.status == http.StatusTooManyRequests:
		return KindThrottled, false

	// An error inside a 2xx: said by the API, so not done.
	case success(f.status) && f.faulty:
		return KindRejected, false

	// A 2xx whose body is cut, late, too large, not JSON, or not the task and state
	// that were asked for. Done, probably.
	case success(f.status) && f.unread:
		return KindUnconfirmed, true

	case success(f.status):
		return 0, false

	// The key was refused, or is good and may not do this: whoami tells which.
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		return KindKey, false

	// No such profile or task.
	case f.status == http.StatusNotFound:
		return KindNotFound, false

	// The server tells that it did not get the whole request in time.
	case f.status == http.StatusRequestTimeout:
		return KindTimeout, false

	// 503 means "not taken on". All others of 5xx, unknown ones too, can come from a
	// proxy in front of a server that acted.
	case f.status >= 500 && f.status <= 599:
		return KindServer, f.status != http.StatusServiceUnavailable

	// 400, 409, 412, 422, every other 4xx, a redirect (never followed: it could
	// lead the key anywhere), and the default for statuses that HTTP does not know.
	default:
		return KindRejected, false
	}
}

func success(status int) bool { return status >= 200 && status <= 299 }

const (
	maxMessage = 1 << 10 // bytes
	redacted   = "[redacted]"
)

// clean makes text from outside fit for a log line: without the key, in one line
// of valid UTF-8 without control characters, at most 1 KiB. The key goes first,
// so that no cut and no replacement can leave half of it.
func clean(s, key string) string {
	s = redact(s, key)
	var b strings.Builder
	space := false
	for _, r := range s {
		if r == '\n' || r == '\r' || r == '\t' || r == ' ' {
			space = b.Len() > 0
			continue
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > maxMessage {
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// redact takes the key out of s, as it stands and as Go or JSON would quote it.
func redact(s, key string) string {
	if key == "" {
		return s
	}
	s = strings.ReplaceAll(s, key, redacted)
	inJSON, _ := json.Marshal(key) // a string can't fail
	for _, quoted := range []string{strconv.Quote(key), string(inJSON)} {
		s = strings.ReplaceAll(s, quoted[1:len(quoted)-1], redacted)
	}
	return s
}
