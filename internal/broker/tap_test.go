package broker_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
)

// tap is a way into the network on which requests and answers get lost.
type tap struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	each func(api embedded.API) tapAct // decides about a request; nil: pass
}

// tapAct is what becomes of a request.
type tapAct int

const (
	pass       tapAct = iota
	lose              // the connection breaks before the broker has it
	loseAnswer        // the connection breaks when the broker has answered
)

// onEach has decide called for each request from now on, by the goroutine that sends it.
func (t *tap) onEach(decide func(api embedded.API) tapAct) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each = decide
}

// onNth has decide called for the nth request of a kind, counting from 1.
func (t *tap) onNth(api embedded.API, n int, decide func() tapAct) {
	var mu sync.Mutex
	t.onEach(func(got embedded.API) tapAct {
		mu.Lock()
		if got != api {
			mu.Unlock()
			return pass
		}
		n--
		now := n == 0
		mu.Unlock()
		if now {
			return decide()
		}
		return pass
	})
}

func (t *tap) decide(api embedded.API) tapAct {
	t.mu.Lock()
	each := t.each
	t.mu.Unlock()
	if each == nil {
		return pass
	}
	return each(api)
}

func (t *tap) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tapConn{Conn: conn, tap: t}, nil
}

// tapConn is one connection. kafka-go sends its requests one after the other.
type tapConn struct {
	net.Conn
	tap  *tap
	left int // bytes of the request that is being sent
	act  tapAct
}

func (c *tapConn) Write(p []byte) (int, error) {
	if c.left == 0 {
		c.left = 4 + int(binary.BigEndian.Uint32(p))
		c.act = c.tap.decide(embedded.API(binary.BigEndian.Uint16(p[4:])))
	}
	if c.act == lose {
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	c.left -= len(p)
	return c.Conn.Write(p)
}

func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.act == loseAnswer && n > 0 {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// tapped returns a connection to the cluster on which requests and answers get lost.
func (w *world) tapped() (*broker.Connection, *tap) {
	w.t.Helper()
	tap := &tap{dial: new(net.Dialer).DialContext}
	if w.network != nil {
		tap.dial = w.network.DialContext
	}
	conn, err := broker.NewConnection(broker.Options{Brokers: w.conn.Brokers(), ClientID: "tapped", DialFunc: tap.DialContext})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	if w.network == nil {
		w.awaitTopics(conn)
	}
	return conn, tap
}
