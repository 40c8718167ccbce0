package passfort

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const defaultUserAgent = "verdict"

// Options configures a Client.
type Options struct {
	// BaseURL is the URL of the API with its version, such as
	// https://api.passfort.com/4.0. Required; see CheckBaseURL.
	BaseURL string

	// Key returns the current API key. Every call asks for it, from any goroutine, so
	// that a changed key is used from the next call on. Required.
	Key func() string

	// Timeout limits one call, from waiting for a connection to the last byte of the
	// answer. Required, more than 0.
	Timeout time.Duration

	// MaxConnections is the maximum number of connections, in use and idle. A call
	// that finds none free waits, within its Timeout. With HTTP/2 one connection is
	// usually enough. Required, at least 1, unless Transport is set.
	MaxConnections int

	// MaxConnectionAge is how long a connection is used for new calls, so that a move of
	// the API's address is noticed. 0 means no limit.
	MaxConnectionAge time.Duration

	// AllowHTTP permits plain http to other machines, which sends the key unencrypted.
	AllowHTTP bool

	// UserAgent is the User-Agent header. Empty means "verdict".
	UserAgent string

	// DialContext opens connections, for an in-memory network. With it, the proxy
	// settings of the environment are ignored. Nil means TCP.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Transport replaces this package's own transport, and with it MaxConnections,
	// MaxConnectionAge, DialContext and the limit on headers. It must not follow redirects. If it does not
	// report to httptrace, every completion without an answer counts as maybe applied.
	// Nil means this package's own.
	Transport http.RoundTripper
}

// validate returns an error that names the first bad field and how to fix it.
func (o Options) validate() error {
	if err := CheckBaseURL(o.BaseURL, o.AllowHTTP); err != nil {
		return fmt.Errorf("BaseURL: %w", err)
	}
	if o.Key == nil {
		return errors.New("Key: missing, want a function that returns the API key")
	}
	if o.Timeout <= 0 {
		return fmt.Errorf("Timeout: is %s, want more than 0", o.Timeout)
	}
	if o.MaxConnections < 1 && o.Transport == nil {
		return fmt.Errorf("MaxConnections: is %d, want 1 or more", o.MaxConnections)
	}
	if o.MaxConnectionAge < 0 {
		return fmt.Errorf("MaxConnectionAge: is %s, want 0 or more", o.MaxConnectionAge)
	}
	for i := range len(o.UserAgent) {
		if c := o.UserAgent[i]; c < ' ' || c > '~' {
			return fmt.Errorf("UserAgent: %q has characters that a header cannot contain, want printable ASCII", o.UserAgent)
		}
	}
	return nil
}
