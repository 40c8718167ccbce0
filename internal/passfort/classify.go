package passfort

import (
	"net/http"
	"slices"
)

// codeInvalidKey is the only error code in a body that this package interprets.
const codeInvalidKey = 204

// callResult is everything that classify looks at.
type callResult struct {
	status     int   // 0 if no answer came
	hasErrors  bool  // the body names errors, in the API's form
	codes      []int // their codes, as far as they have any
	unreadable bool  // the body is not complete, or not what was asked for
	foreign    bool  // the body does not look like the API's: of a failure, it names no errors
	canceled   bool  // the call ended early because the caller's context ended
	timedOut   bool  // the call ended early because its timeout was over
	sent       bool  // the request began to go out
}

// classify is the one table of failures. It returns 0 for a success. The status
// decides, with two exceptions that the body can state: the key is refused, and a
// 2xx is an error. maybeApplied matters for completions only.
func classify(r callResult) (kind Kind, maybeApplied bool) {
	switch {
	// The API refused the key. It does not promise with which status.
	case slices.Contains(r.codes, codeInvalidKey):
		return KindKey, false

	// The caller gave up before the answer was complete. If at least the status
	// came, it decides; but a 2xx without its body is not an answer.
	case r.canceled && (r.status == 0 || success(r.status)):
		return KindCanceled, r.sent

	// No answer in time. A 2xx that began in time is unconfirmed, see below.
	case r.status == 0 && r.timedOut:
		return KindTimeout, r.sent

	// Name not found, dial or TLS refused, reset, closed, not HTTP, header too large.
	case r.status == 0:
		return KindConnection, r.sent

	// Throttled, whatever the body says: waiting loses nothing.
	case r.status == http.StatusTooManyRequests:
		return KindThrottled, false

	// A 2xx whose body names an error: the API says that it did not act.
	case success(r.status) && r.hasErrors:
		return KindRejected, false

	// A 2xx with a page, or with other JSON. What sent it may stand between the client
	// and an API that acted.
	case success(r.status) && r.foreign:
		return KindForeign, true

	// A 2xx whose body is empty, cut, late, too large, or not the task and state that
	// were asked for. The API has probably acted.
	case success(r.status) && r.unreadable:
		return KindUnconfirmed, true

	case success(r.status):
		return 0, false

	// The key is refused, or lacks a permission; whoami tells which.
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return KindKey, false

	// The server did not get the whole request in time.
	case r.status == http.StatusRequestTimeout:
		return KindTimeout, false

	// Not now: the request went to the wrong server, the task is locked, or it is too
	// early. The server did not act.
	case r.status == http.StatusMisdirectedRequest, r.status == http.StatusLocked, r.status == http.StatusTooEarly:
		return KindServer, false

	// A 503 says that the request was not accepted. Every other 5xx, and 499, can come
	// from a proxy in front of a server that acted.
	case r.status >= 500 && r.status <= 599, r.status == statusClientClosedRequest:
		return KindServer, r.status != http.StatusServiceUnavailable

	// The caller gave up before the body showed whose answer it is.
	case r.canceled && r.foreign:
		return KindCanceled, r.sent

	// A redirect, which is not followed because it could take the key anywhere; a
	// status that HTTP does not know; and a 4xx without the API's errors. Nothing is
	// known about what is behind it.
	case r.status < 400 || r.status > 499 || r.foreign:
		return KindForeign, true

	// No such profile or task.
	case r.status == http.StatusNotFound:
		return KindNotFound, false

	// 400, 409, 412, 422 and every other 4xx.
	default:
		return KindRejected, false
	}
}

// statusClientClosedRequest is what nginx says when the other side gave up.
const statusClientClosedRequest = 499

func success(status int) bool { return status >= 200 && status <= 299 }
