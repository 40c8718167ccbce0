package passfort

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits on what a server may make this package hold or wait for.
const (
	maxBody    = 1 << 20  // bytes of an answer's body, after decompression
	maxHeaders = 64 << 10 // bytes of an answer's header
	maxKey     = 1 << 10  // bytes of the API key

	defaultTimeout     = 65 * time.Second // the API's own time-out is 60 s
	defaultConnections = 64
	defaultUserAgent   = "verdict"

	dialTimeout = 10 * time.Second

	// idleTimeout is below the idle time-outs that servers and load balancers
	// usually have (60 s and more), so that this side is the first to close: a
	// completion written to a connection that the server is just closing can't
	// be told from one that was acted on.
	idleTimeout = 30 * time.Second

	// pingTimeout finds an HTTP/2 connection that went dead. All calls share it,
	// so without pings all would run into their time-outs for minutes.
	pingTimeout = 15 * time.Second
)

// Options configures a Client.
type Options struct {
	// BaseURL is where the API is, with its version: https://api.passfort.com/4.0.
	// Required. See CheckBaseURL.
	BaseURL string

	// Key returns the present API key. It is asked at each call, from many
	// goroutines, so a changed key is used from the next call on. Required.
	Key func() string

	// Timeout is for one call, from waiting for a connection to the last byte of
	// the answer. 0 means 65 s.
	Timeout time.Duration

	// MaxConnections is how many connections are open at the most, in use and
	// idle; with HTTP/2 one usually serves. A call that finds none free waits,
	// within its time-out. 0 means 64.
	MaxConnections int

	// AllowHTTP permits plain http to other hosts than this one. The key then
	// goes over the wire readable to all.
	AllowHTTP bool

	// UserAgent is the header User-Agent. Empty means "verdict".
	UserAgent string

	// DialContext opens connections, for a network in memory. With it no proxy
	// of the environment is used. Nil means TCP.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Transport makes the exchanges instead of this package's own; then
	// MaxConnections and DialContext mean nothing and the limit on headers is its
	// affair. It must follow no redirect. If it does not report to httptrace, every
	// completion without an answer counts as maybe sent. Nil means its own.
	Transport http.RoundTripper
}

// validate names the first field that is wrong and what would be right.
func (o Options) validate() error {
	if err := CheckBaseURL(o.BaseURL, o.AllowHTTP); err != nil {
		return fmt.Errorf("BaseURL: %w", err)
	}
	if o.Key == nil {
		return errors.New("Key: missing, want a function that returns the API key")
	}
	if o.Timeout < 0 {
		return fmt.Errorf("Timeout: %s is negative, want a duration above 0, or 0 for %s", o.Timeout, defaultTimeout)
	}
	if o.MaxConnections < 0 {
		return fmt.Errorf("MaxConnections: %d is negative, want a number above 0, or 0 for %d", o.MaxConnections, defaultConnections)
	}
	for i := range len(o.UserAgent) {
		if c := o.UserAgent[i]; c < ' ' || c > '~' {
			return fmt.Errorf("UserAgent: %q has characters that a header can't carry, want printable ASCII", o.UserAgent)
		}
	}
	return nil
}

// CheckBaseURL says what is wrong with raw as the API's address. Plain http is
// taken only to a loopback host (127.0.0.0/8, ::1, localhost), unless allowHTTP,
// because every request carries the key. The error never repeats a password.
func CheckBaseURL(raw string, allowHTTP bool) error {
	_, err := parseBaseURL(raw, allowHTTP)
	return err
}

// parseBaseURL is raw without a slash at its end, so that a path can follow.
func parseBaseURL(raw string, allowHTTP bool) (*url.URL, error) {
	const want = "want such as https://api.passfort.com/4.0"
	if raw == "" {
		return nil, errors.New("missing, " + want)
	}
	if strings.Contains(raw, "@") { // not quoted: it may have a password
		return nil, errors.New("has a user name or password, " + want + "; the API key has its own setting")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL, %s", raw, want)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is neither https nor http, %s", raw, want)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("%q has no host, %s", raw, want)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, fmt.Errorf("%q has a query or fragment, %s", raw, want)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q has a port out of range, want 1 to 65535", raw)
		}
	}
	if u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%q would send the API key unencrypted to another host, want https, or plain http explicitly allowed", raw)
	}
	u = u.JoinPath() // without dot segments and doubled slashes
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// newTransport is a pool of o.MaxConnections connections.
func newTransport(o Options) *http.Transport {
	t := &http.Transport{
		DialContext:            o.DialContext,
		MaxIdleConns:           o.MaxConnections,
		MaxIdleConnsPerHost:    o.MaxConnections,
		MaxConnsPerHost:        o.MaxConnections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeaders,
		// With a dial function of our own, HTTP/2 must be asked for.
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
	}
	if t.DialContext == nil {
		t.Proxy = http.ProxyFromEnvironment
		t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingTimeout}).DialContext
	}
	return t
}
