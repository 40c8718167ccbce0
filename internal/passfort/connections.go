package passfort

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connections are the connections to the API. net/http limits how long one may be idle,
// but not its age, so a busy one would be used for as long as its server keeps it, even
// after the API's name points elsewhere. Therefore the transport is replaced by a new one
// once it is maxAge old: calls under way end on the old one, and its connections are
// closed as they become idle.
type connections struct {
	options Options
	newest  atomic.Pointer[transport]
	replace sync.Mutex // held by whoever replaces newest
}

type transport struct {
	*http.Transport
	until time.Time // when it is replaced; zero: never
}

func newConnections(o Options) *connections {
	c := &connections{options: o}
	c.newest.Store(c.open())
	return c
}

func (c *connections) open() *transport {
	t := &transport{Transport: newTransport(c.options)}
	if c.options.MaxConnectionAge > 0 {
		t.until = time.Now().Add(c.options.MaxConnectionAge)
	}
	return t
}

// current returns the transport for one call, to be passed to used after it.
func (c *connections) current() *transport {
	t := c.newest.Load()
	if t.until.IsZero() || time.Now().Before(t.until) {
		return t
	}
	c.replace.Lock()
	defer c.replace.Unlock()
	if newest := c.newest.Load(); newest != t {
		return newest // another call was first
	}
	newest := c.open()
	c.newest.Store(newest)
	t.CloseIdleConnections()
	return newest
}

// used closes what a call leaves idle in a transport that was replaced meanwhile. A call
// may have begun on it just after the others were closed.
func (c *connections) used(t *transport) {
	if c.newest.Load() != t {
		t.CloseIdleConnections()
	}
}

func (c *connections) close() { c.newest.Load().CloseIdleConnections() }
