package passfort

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// exchange is one request and what came of it.
type exchange struct {
	Response
	op       Operation
	acts     bool // it is a POST, which changes something at the API
	key      string
	body     []byte // as much as could be read
	location string // target of a redirect
	err      error  // why there is no answer, or why its body is incomplete
	badKey   bool   // the key cannot be sent; err says why
	called   bool   // the transport was called
	canceled error  // if err is set: why the caller's context ended
	timedOut bool   // if err is set: the timeout of the call is over

	// progress is written by goroutines of the transport, through trace, and read
	// after the exchange.
	progress atomic.Int32
	trace    httptrace.ClientTrace
}

// The progress of an exchange, as far as the transport reports it.
const (
	unreported int32 = iota // not called, or the transport reports nothing
	connecting              // waiting for a connection
	sending                 // the header is written, the body may be
)

// sent reports whether the server may have the request. It cannot have acted before
// the body began to go out, which is after the header. A transport that reports
// nothing may have sent it.
func (x *exchange) sent() bool { return x.called && x.progress.Load() != connecting }

// call makes one request: a POST of body, or a GET if body is empty. It uses the
// transport directly, because http.Client would follow redirects, keep cookies and
// put the URL into errors.
func (c *Client) call(ctx context.Context, op Operation, path, body string) *exchange {
	x := &exchange{Response: noResponse(), op: op, acts: body != ""}
	r, err := c.currentRequests()
	if err != nil {
		x.err, x.badKey = err, true
		return x
	}
	x.key = r.key

	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if x.err = callCtx.Err(); x.err == nil {
		x.called = true
		x.err = c.roundTrip(callCtx, x, r, path, body)
	}
	if x.err == nil {
		return x
	}
	// Check the caller's context first: its end also ends the context of the call.
	if err := ctx.Err(); err != nil {
		x.canceled = err
		if cause := context.Cause(ctx); !errors.Is(cause, err) {
			x.canceled = fmt.Errorf("%w: %w", err, cause)
		}
	} else {
		x.timedOut = callCtx.Err() != nil
	}
	return x
}

func (c *Client) roundTrip(ctx context.Context, x *exchange, r *requests, path, body string) error {
	template := r.get
	if x.acts {
		template = r.post
		// net/http itself repeats a POST only if nothing of it reached the server
		// (an idle connection that was just closed); it then starts over with GetConn. A
		// GET changes nothing, so it needs no trace.
		x.trace.GetConn = func(string) { x.progress.Store(connecting) }
		x.trace.WroteHeaders = func() { x.progress.Store(sending) }
		ctx = httptrace.WithClientTrace(ctx, &x.trace)
	}
	req := template.WithContext(ctx)
	u := *c.base
	u.Path += path
	if u.RawPath != "" {
		u.RawPath += path
	}
	req.URL = &u
	if trace := TraceOf(ctx).Headers(); len(trace) > 0 {
		req.Header = req.Header.Clone() // the template's header is shared
		for _, h := range trace {
			req.Header.Set(h.Key, string(h.Value))
		}
	}
	if x.acts {
		setBody(req, body)
	}

	transport := c.transport
	if transport == nil {
		own := c.owned.current()
		defer c.owned.used(own) // after the body is closed
		transport = own
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.Status = resp.StatusCode
	x.Rate = parseRateLimit(resp.Header, time.Now())
	if x.op == OpWhoAmI {
		x.Date, _ = http.ParseTime(first(resp.Header, "Date")) // zero if it does not parse
	}
	x.location = first(resp.Header, "Location")
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil // what follows is not a body and may never end
	}
	// Read to the end, so that the connection can be reused. If the body exceeds the
	// limit, the connection is closed.
	x.body, err = readBody(resp.Body, resp.ContentLength)
	return err
}

// conclude returns the value of a successful exchange, decoded with decode, or an
// *Error.
func conclude[T any](x *exchange, decode func([]byte) (T, bodyErrors, error)) (T, Response, error) {
	var (
		value   T
		errs    bodyErrors
		isText  = true // the body, if any, is not JSON
		foreign bool   // the body does not look like the API's
		err     = x.err
	)
	switch {
	case x.Status == 0:
	case success(x.Status):
		if err == nil {
			value, errs, err = decode(x.body)
		}
		foreign = !errs.documented && (errs.any || isForeign(x.body, err))
	default:
		var isJSON bool
		errs, isJSON = decodeErrors(x.body)
		isText, foreign = !isJSON, !errs.documented
	}
	kind, maybeApplied := classify(callResult{
		status: x.Status, hasErrors: errs.documented, codes: errs.codes, unreadable: err != nil, foreign: foreign,
		canceled: x.canceled != nil, timedOut: x.timedOut, sent: x.sent(),
	})
	if x.badKey {
		kind, maybeApplied = KindKey, false
	}
	if kind == 0 {
		return value, x.Response, nil
	}

	if kind == KindCanceled {
		err = x.canceled
	}
	e := &Error{
		Operation: x.op, Kind: kind, Status: x.Status, Codes: errs.codes, Message: clean(x.message(kind, errs.message, err, isText), x.key),
		MaybeApplied: maybeApplied && x.acts,
		// An empty refusal of the key can be anyone's; whoami tells.
		Foreign: kind == KindForeign || kind == KindKey && foreign && !isBlank(x.body),
		detail:  clean(x.ownWords(kind), x.key),
	}
	if x.Status == http.StatusServiceUnavailable {
		e.RetryAfter = x.Rate.RetryAfter
	}
	// Errors of the transport and of decoders may quote what the server sent.
	if err != nil && x.canceled == nil {
		if s := err.Error(); len(s) > maxMessage || redact(s, x.key) != s {
			err = errors.New(clean(s, x.key))
		}
	}
	e.err = err
	var zero T
	return zero, x.Response, e
}

// message says why a call failed: in the words of the API, named, if it has any.
func (x *exchange) message(kind Kind, named string, err error, isText bool) string {
	switch {
	case kind == KindCanceled:
		return x.canceled.Error()
	case named != "":
		return named
	case x.timedOut:
		return "no complete answer in time"
	case err != nil:
		return err.Error()
	case x.Status >= 300 && x.Status <= 399:
		return fmt.Sprintf("redirected to %q, not followed: is the base URL right?", x.location)
	case isText && len(x.body) > 0:
		return string(x.body)
	}
	return http.StatusText(x.Status)
}

// ownWords says why a call failed without quoting what the server sent.
func (x *exchange) ownWords(kind Kind) string {
	switch {
	case kind == KindForeign && x.err != nil:
		return "not a whole answer of the API"
	case kind == KindForeign:
		return describeForeign(x.Status, x.body)
	case x.canceled != nil:
		return x.canceled.Error()
	case x.badKey:
		return x.err.Error()
	case x.timedOut:
		return "no complete answer in time"
	case errors.Is(x.err, io.EOF), errors.Is(x.err, io.ErrUnexpectedEOF):
		return "connection closed"
	}
	if e, ok := errors.AsType[net.Error](x.err); ok { // of the network, not of HTTP
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](x.err); ok {
		return e.Error()
	}
	return ""
}
