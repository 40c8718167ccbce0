package passfort

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"verdict/internal/decision"
)

// Client makes calls. It is safe for many goroutines at once.
type Client struct {
	transport http.RoundTripper
	owned     *http.Transport // nil: Options.Transport is used
	base      *url.URL
	timeout   time.Duration
	userAgent string
	key       func() string

	// prepared is the request of the key that was seen last. Any call that finds
	// another key replaces it; all read it.
	prepared atomic.Pointer[prepared]
}

// prepared is what the requests under one key have in common. Neither the
// templates nor their headers are changed once stored: calls share the headers,
// which a RoundTripper must not change either.
type prepared struct {
	key      string
	look     *http.Request // GET
	complete map[decision.State]*http.Request
}

// New makes a Client. It makes no call.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("passfort: %w", err)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultConnections
	}
	if o.UserAgent == "" {
		o.UserAgent = defaultUserAgent
	}
	base, err := parseBaseURL(o.BaseURL, o.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("passfort: BaseURL: %w", err)
	}
	c := &Client{
		transport: o.Transport,
		base:      base,
		timeout:   o.Timeout,
		userAgent: o.UserAgent,
		key:       o.Key,
	}
	if c.transport == nil {
		c.owned = newTransport(o)
		c.transport = c.owned
	}
	return c, nil
}

// Close closes the connections that no call uses. It is for the end, when no
// call is running; a call made later still works.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// bodies are the bodies of the completions.
var bodies = map[decision.State]string{
	decision.CompletedPass: `{"state":"COMPLETED_PASS"}`,
	decision.CompletedFail: `{"state":"COMPLETED_FAIL"}`,
}

// CompleteTask asks the API to complete the task with state s, decision.CompletedPass or
// decision.CompletedFail. It asks once. No error means that the API answered with this
// task in this state; the API's answer with another state is KindUnconfirmed.
// Any error is an *Error; see its MaybeApplied before asking again.
func (c *Client) CompleteTask(ctx context.Context, profileID, taskID string, s decision.State) (Task, Response, error) {
	if bodies[s] == "" {
		return Task{}, noResponse(), invalid(OpComplete, fmt.Sprintf("state %.40q, want %s or %s", s, decision.CompletedPass, decision.CompletedFail))
	}
	if err := checkIDs(OpComplete, profileID, taskID); err != nil {
		return Task{}, noResponse(), err
	}
	x := c.exchange(ctx, OpComplete, taskPath(profileID, taskID), s)
	return conclude(x, func(body []byte) (Task, faults, error) {
		task, f, err := decodeTaskOf(taskID, body)
		if err == nil && !f.any && task.State != s {
			err = fmt.Errorf("the task is %s, not %s", task.State, s)
		}
		return task, f, err
	})
}

// GetTask looks at one task. Any error is an *Error.
func (c *Client) GetTask(ctx context.Context, profileID, taskID string) (Task, Response, error) {
	if err := checkIDs(OpGetTask, profileID, taskID); err != nil {
		return Task{}, noResponse(), err
	}
	x := c.exchange(ctx, OpGetTask, taskPath(profileID, taskID), "")
	return conclude(x, func(body []byte) (Task, faults, error) { return decodeTaskOf(taskID, body) })
}

// ListTasks is the tasks of a profile, in the API's order. Any error is an
// *Error.
func (c *Client) ListTasks(ctx context.Context, profileID string) ([]Task, Response, error) {
	if err := checkIDs(OpListTasks, profileID); err != nil {
		return nil, noResponse(), err
	}
	return conclude(c.exchange(ctx, OpListTasks, "/profiles/"+profileID+"/tasks", ""), decodeTasks)
}

// WhoAmI asks whom the key belongs to; it does nothing else. No error means that
// the key is good. Any error is an *Error.
func (c *Client) WhoAmI(ctx context.Context) (Identity, Response, error) {
	return conclude(c.exchange(ctx, OpWhoAmI, "/whoami", ""), decodeIdentity)
}

func taskPath(profileID, taskID string) string {
	return "/profiles/" + profileID + "/tasks/" + taskID
}

// checkIDs lets through nothing but IDs, so that none can steer a call to
// another path.
func checkIDs(op Operation, ids ...string) error {
	for i, id := range ids {
		if !decision.ValidID(id) {
			name := [...]string{"profile", "task"}[i]
			return invalid(op, fmt.Sprintf("%s ID %.80q, want 8-4-4-4-12 hexadecimal digits", name, id))
		}
	}
	return nil
}

func invalid(op Operation, message string) *Error {
	return &Error{Operation: op, Kind: KindInvalid, Message: message}
}

func noResponse() Response { return Response{Rate: noRateLimit} }

func decodeTaskOf(taskID string, body []byte) (Task, faults, error) {
	task, f, err := decodeTask(body)
	if err == nil && !f.any && !strings.EqualFold(task.ID, taskID) {
		err = fmt.Errorf("the answer is about another task, %s", task.ID)
	}
	return task, f, err
}

// exchange is one request and what came of it.
type exchange struct {
	Response
	op       Operation
	key      string
	body     []byte // as far as it could be read
	location string // of a redirect
	err      error  // why there is no answer, or not all of its body
	refused  bool   // the key can't be sent; err says why
	called   bool   // the transport was asked
	canceled error  // with err: why the caller's context ended
	timedOut bool   // with err: the call's own time is over

	// progress is written by the transport's goroutines, through trace, and read
	// when the exchange is over.
	progress atomic.Int32
	trace    httptrace.ClientTrace
}

// How far an exchange got, as the transport told it.
const (
	toldNothing int32 = iota // no call was made, or by a transport that tells nothing
	connecting               // waiting for a connection
	sending                  // the header was written, the body may have been
)

// sent says whether the server may have the request. It can't have acted before
// the body began to go out, which is after the header. Of a transport that tells
// nothing the worse is assumed.
func (x *exchange) sent() bool { return x.called && x.progress.Load() != connecting }

// exchange makes one call: a completion if there is a state, else a look. It goes
// to the transport directly: http.Client would add redirects, cookies and the URL
// in errors, and none is wanted.
func (c *Client) exchange(ctx context.Context, op Operation, path string, s decision.State) *exchange {
	x := &exchange{Response: noResponse(), op: op}
	p, err := c.prepare()
	if err != nil {
		x.err, x.refused = err, true
		return x
	}
	x.key = p.key

	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if x.err = callCtx.Err(); x.err == nil {
		x.called = true
		x.err = c.roundTrip(callCtx, x, p, path, s)
	}
	if x.err == nil {
		return x
	}
	// The caller's context is asked first: when it ends, so does the call's.
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

func (c *Client) roundTrip(ctx context.Context, x *exchange, p *prepared, path string, s decision.State) error {
	template := p.look
	if s != "" {
		template = p.complete[s]
		// net/http itself sends a completion again only if nothing of it reached the
		// server (an idle connection that was closed meanwhile); it then starts over
		// with GetConn. Looking leaves no doubt, so it needs no trace.
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
	if traceparent := TraceparentOf(ctx); traceparent != "" {
		req.Header = req.Header.Clone() // the template's belongs to all calls
		req.Header.Set("traceparent", traceparent)
	}
	if req.GetBody != nil {
		req.Body, _ = req.GetBody() // from memory: can't fail
	}

	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.Status = resp.StatusCode
	x.Rate = parseRateLimit(resp.Header, time.Now())
	if x.op == OpWhoAmI {
		x.Date, _ = http.ParseTime(first(resp.Header, "Date")) // else zero
	}
	x.location = first(resp.Header, "Location")
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil // what follows is no body, and has no end
	}
	// To its end, so that the connection can be used again; one that goes on
	// beyond the limit is closed instead.
	x.body, err = readBody(resp.Body, resp.ContentLength)
	return err
}

// prepare is the requests with the present key.
func (c *Client) prepare() (*prepared, error) {
	key := c.key()
	if p := c.prepared.Load(); p != nil && p.key == key {
		return p, nil
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	p := &prepared{key: key, complete: make(map[decision.State]*http.Request)}
	p.look = &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: c.base.Host,
		Header: http.Header{"Apikey": {key}, "Accept": {"application/json"}, "User-Agent": {c.userAgent}},
	}
	for s, body := range bodies {
		r := p.look.Clone(context.Background())
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = int64(len(body))
		// A reader that net/http knows to be in memory: with another it would send
		// the header by itself, a second write to the network for each call.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		p.complete[s] = r
	}
	c.prepared.Store(p)
	return p, nil
}

// checkKey says what is wrong with the key without repeating it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("the API key is empty")
	}
	if len(key) > maxKey {
		return fmt.Errorf("the API key is longer than %d bytes: is it the wrong file?", maxKey)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return errors.New("the API key has white space, control or non-ASCII characters: is there a line break at its end?")
		}
	}
	return nil
}

// conclude reads the answer with decode, where there is one, and classifies the
// exchange: the value, or an *Error.
func conclude[T any](x *exchange, decode func([]byte) (T, faults, error)) (T, Response, error) {
	var (
		value T
		f     faults
		text  = true // the body is text, if anything
		err   = x.err
	)
	switch {
	case x.Status == 0:
	case success(x.Status) && err == nil:
		value, f, err = decode(x.body)
	default:
		var isJSON bool
		f, isJSON = decodeFaults(x.body)
		text = !isJSON
	}
	kind, maybeSent := classify(finding{
		status: x.Status, faulty: f.any, codes: f.codes, unread: err != nil,
		canceled: x.canceled != nil, timedOut: x.timedOut, sent: x.sent(),
	})
	if x.refused {
		kind, maybeSent = KindKey, false
	}
	if kind == 0 {
		return value, x.Response, nil
	}

	message := f.message
	switch {
	case kind == KindCanceled:
		message, err = x.canceled.Error(), x.canceled
	case message != "":
	case x.timedOut:
		message = "no whole answer in time"
	case err != nil:
		message = err.Error()
	case x.Status >= 300 && x.Status <= 399:
		message = fmt.Sprintf("redirected to %q, not followed: is the base URL right?", x.location)
	case text && len(x.body) > 0:
		message = string(x.body)
	default:
		message = http.StatusText(x.Status)
	}
	// An error of the transport or decoder may quote what the server sent.
	if err != nil && x.canceled == nil {
		if s := err.Error(); len(s) > maxMessage || redact(s, x.key) != s {
			err = errors.New(clean(s, x.key))
		}
	}
	var zero T
	return zero, x.Response, &Error{
		Operation: x.op, Kind: kind, Status: x.Status, Codes: f.codes, Message: clean(message, x.key),
		MaybeApplied: maybeSent && x.op == OpComplete, err: err,
	}
}
