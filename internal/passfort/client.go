package passfort

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"verdict/internal/decision"
)

// Client calls the API. It is safe for concurrent use.
type Client struct {
	transport http.RoundTripper
	owned     *http.Transport // transport, if it is this package's own
	base      *url.URL
	timeout   time.Duration
	userAgent string
	key       func() string

	// requests are those with the key that was seen last. A call that finds another
	// key replaces them; every call reads them.
	requests atomic.Pointer[requests]
}

// New returns a Client. It makes no call.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("passfort: %w", err)
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

// Close closes idle connections. Call it when no call is running anymore.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// completions are the bodies that complete a task, by state. No call makes a task
// incomplete.
//
//exhaustive:ignore
var completions = map[decision.State]string{
	decision.CompletedPass: `{"state":"COMPLETED_PASS"}`,
	decision.CompletedFail: `{"state":"COMPLETED_FAIL"}`,
}

// CompleteTask completes the task with state s, which must be
// decision.CompletedPass or decision.CompletedFail. It makes one request. A nil
// error means that the API named this task in this state; an answer with another
// state is KindUnconfirmed. Every error is an *Error. If its MaybeApplied is set,
// look at the task before you complete it again.
func (c *Client) CompleteTask(ctx context.Context, profileID, taskID string, s decision.State) (Task, Response, error) {
	body := completions[s]
	if body == "" {
		return Task{}, noResponse(), invalid(OpComplete, fmt.Sprintf("state %.40q, want %s or %s", s, decision.CompletedPass, decision.CompletedFail))
	}
	if err := checkIDs(OpComplete, profileID, taskID); err != nil {
		return Task{}, noResponse(), err
	}
	x := c.call(ctx, OpComplete, taskPath(profileID, taskID), body)
	return conclude(x, func(body []byte) (Task, bodyErrors, error) {
		task, errs, err := decodeTaskOf(taskID, body)
		if err == nil && !errs.any && task.State != s {
			err = fmt.Errorf("the task is %s, not %s", task.State, s)
		}
		return task, errs, err
	})
}

// GetTask returns one task. Every error is an *Error.
func (c *Client) GetTask(ctx context.Context, profileID, taskID string) (Task, Response, error) {
	if err := checkIDs(OpGetTask, profileID, taskID); err != nil {
		return Task{}, noResponse(), err
	}
	x := c.call(ctx, OpGetTask, taskPath(profileID, taskID), "")
	return conclude(x, func(body []byte) (Task, bodyErrors, error) { return decodeTaskOf(taskID, body) })
}

// ListTasks returns the tasks of a profile in the API's order. Every error is an
// *Error.
func (c *Client) ListTasks(ctx context.Context, profileID string) ([]Task, Response, error) {
	if err := checkIDs(OpListTasks, profileID); err != nil {
		return nil, noResponse(), err
	}
	return conclude(c.call(ctx, OpListTasks, "/profiles/"+profileID+"/tasks", ""), decodeTasks)
}

// WhoAmI returns the identity of the API key. A nil error means that the API
// accepts the key. Every error is an *Error.
func (c *Client) WhoAmI(ctx context.Context) (Identity, Response, error) {
	return conclude(c.call(ctx, OpWhoAmI, "/whoami", ""), decodeIdentity)
}

func taskPath(profileID, taskID string) string {
	return "/profiles/" + profileID + "/tasks/" + taskID
}

// checkIDs accepts IDs only, so that no argument can lead a call to another path.
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

// decodeTaskOf decodes a task and checks that it is the one asked for.
func decodeTaskOf(taskID string, body []byte) (Task, bodyErrors, error) {
	task, errs, err := decodeTask(body)
	if err == nil && !errs.any && !strings.EqualFold(task.ID, taskID) {
		err = fmt.Errorf("the answer is about another task, %s", task.ID)
	}
	return task, errs, err
}
