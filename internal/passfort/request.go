package passfort

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"verdict/internal/decision"
)

// maxKey is the maximum length of the API key in bytes.
const maxKey = 1 << 10

// bodies are the bodies of completions, by state. No call makes a task incomplete.
//
//exhaustive:ignore
var bodies = map[decision.State]string{
	decision.CompletedPass: `{"state":"COMPLETED_PASS"}`,
	decision.CompletedFail: `{"state":"COMPLETED_FAIL"}`,
}

// requests are the templates of the requests with one key. Neither they nor their
// headers change once stored: calls share the headers, which a RoundTripper must not
// change either.
type requests struct {
	key      string
	get      *http.Request
	complete map[decision.State]*http.Request
}

// currentRequests returns the requests with the present key.
func (c *Client) currentRequests() (*requests, error) {
	key := c.key()
	if r := c.requests.Load(); r != nil && r.key == key {
		return r, nil
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	r := c.newRequests(key)
	c.requests.Store(r)
	return r, nil
}

func (c *Client) newRequests(key string) *requests {
	r := &requests{key: key, complete: make(map[decision.State]*http.Request)}
	r.get = &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: c.base.Host,
		Header: http.Header{"Apikey": {key}, "Accept": {"application/json"}, "User-Agent": {c.userAgent}},
	}
	for s, body := range bodies {
		post := r.get.Clone(context.Background())
		post.Method = http.MethodPost
		post.Header.Set("Content-Type", "application/json")
		post.ContentLength = int64(len(body))
		// net/http knows that a strings.Reader is in memory. With another reader it
		// sends the header on its own, which is a second write per call.
		post.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		r.complete[s] = post
	}
	return r
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
