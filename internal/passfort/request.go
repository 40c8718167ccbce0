package passfort

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxKey is the maximum length of the API key in bytes.
const maxKey = 1 << 10

// requests are the templates of the requests with one key. Neither they nor their
// headers change once stored: calls share the headers, which a RoundTripper must not
// change either.
type requests struct {
	key  string
	get  *http.Request
	post *http.Request // without its body
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
	r := &requests{key: key}
	r.get = &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: c.base.Host,
		Header: http.Header{"Apikey": {key}, "Accept": {"application/json"}, "User-Agent": {c.userAgent}},
	}
	r.post = r.get.Clone(context.Background())
	r.post.Method = http.MethodPost
	r.post.Header.Set("Content-Type", "application/json")
	return r
}

// setBody gives the request a body.
func setBody(req *http.Request, body string) {
	req.ContentLength = int64(len(body))
	// net/http knows that a strings.Reader is in memory. With another reader it
	// sends the header on its own, which is a second write per call.
	req.Body = io.NopCloser(strings.NewReader(body))
	// For net/http's own repetition, when an idle connection was just closed.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
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
