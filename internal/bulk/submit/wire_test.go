package submit_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"verdict/internal/broker/embedded"
)

// wire is a machine's way to Kafka, on which requests wait and answers get lost.
type wire struct {
	network *embedded.Network

	mu   sync.Mutex
	each func(api embedded.API, size int) fate // called before a request is sent; nil: not wanted
}

// fate is what becomes of a request.
type fate int

const (
	arrives    fate = iota
	lost            // the connection breaks before the broker has it
	unanswered      // the connection breaks when the broker has answered
)

// onEach has f called for each request from now on, by the goroutine that sends it.
func (w *wire) onEach(f func(api embedded.API, size int) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each = f
}

// onNth has f called for the nth request of a kind from now on, counting from 1.
func (w *wire) onNth(api embedded.API, n int, f func()) {
	var mu sync.Mutex
	w.onEach(func(got embedded.API, _ int) fate {
		mu.Lock()
		if got == api {
			n--
		}
		now := got == api && n == 0
		mu.Unlock()
		if now {
			f()
		}
		return arrives
	})
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := w.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, wire: w}, nil
}

// wireConn is one connection. Requests are sent one after the other.
type wireConn struct {
	net.Conn
	wire *wire
	left int // bytes of the request that is being sent

	mu   sync.Mutex
	fate fate // of the last request
}

func (c *wireConn) Write(p []byte) (int, error) {
	if c.left == 0 {
		c.left = 4 + int(binary.BigEndian.Uint32(p))
		c.wire.mu.Lock()
		each := c.wire.each
		c.wire.mu.Unlock()
		fate := arrives
		if each != nil {
			fate = each(embedded.API(binary.BigEndian.Uint16(p[4:])), c.left)
		}
		c.mu.Lock()
		c.fate = fate
		c.mu.Unlock()
		if fate == lost {
			c.Close()
			return 0, io.ErrClosedPipe
		}
	}
	c.left -= len(p)
	return c.Conn.Write(p)
}

func (c *wireConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fate == unanswered && n > 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
