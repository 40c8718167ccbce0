package passfort

import (
	"net"
	"net/http"
	"time"
)

// Limits on what a server can make the client hold or wait for.
const (
	maxBody    = 1 << 20  // bytes of an answer's body, after decompression
	maxHeaders = 64 << 10 // bytes of an answer's header

	dialTimeout = 10 * time.Second

	// idleTimeout is shorter than the usual idle timeouts of servers and load balancers
	// (60 s and more), so that the client closes first. A completion that is written to
	// a connection that the server is closing cannot be distinguished from one that was
	// applied.
	idleTimeout = 30 * time.Second

	// pingTimeout detects a dead HTTP/2 connection. All calls share it, so without pings
	// all of them would run into their timeouts for minutes.
	pingTimeout = 15 * time.Second
)

// newTransport returns a transport with at most o.MaxConnections connections.
func newTransport(o Options) *http.Transport {
	t := &http.Transport{
		DialContext:            o.DialContext,
		MaxIdleConns:           o.MaxConnections,
		MaxIdleConnsPerHost:    o.MaxConnections,
		MaxConnsPerHost:        o.MaxConnections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeaders,
		// net/http does not try HTTP/2 with a custom dial function unless told to.
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
	}
	if t.DialContext == nil {
		t.Proxy = http.ProxyFromEnvironment
		t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingTimeout}).DialContext
	}
	return t
}
