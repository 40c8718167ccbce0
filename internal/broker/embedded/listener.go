package embedded

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// listener closes the connections that it accepted when it is closed. kfake leaves
// the connections of a removed broker open: their clients would go on asking a
// broker that no longer leads anything, even when another listens in its place.
type listener struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[*accepted]struct{}
}

// closingConns wraps listen so that its listeners close their connections.
func closingConns(listen func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if err != nil {
			return nil, err
		}
		return &listener{Listener: l, conns: make(map[*accepted]struct{})}, nil
	}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &accepted{Conn: conn, listener: l, closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.conns[c] = struct{}{}
	return c, nil
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.Conn.Close()
	}
	clear(l.conns)
	return err
}

// accepted is the server's half of a connection. Its listener knows it until it is
// closed.
//
// It hides the end of the connection from kfake while a member waits there for the
// answer to its JoinGroup. kfake starts a member's session with that answer, and
// only if the connection can still take it: a member that broke off would stay in
// the group, with partitions, forever. This way the answer goes nowhere, and the
// session ends as in a real cluster.
type accepted struct {
	net.Conn
	listener *listener
	joining  atomic.Bool   // the last request was a JoinGroup and is not answered
	closed   chan struct{} // closed by Close
	closing  sync.Once

	// Where the reader is in the request. There is one reader at a time.
	head [6]byte // its length and API
	have int     // bytes of head read
	left int     // bytes of the rest to read
}

func (c *accepted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.follow(p[:n])
	if err != nil && c.joining.Load() {
		<-c.closed
	}
	return n, err
}

// follow parses what was read and records whether the last request is a JoinGroup.
// On a connection with TLS it sees no requests, and no TLS record looks like a
// JoinGroup.
func (c *accepted) follow(b []byte) {
	for len(b) > 0 {
		if c.have < len(c.head) {
			n := copy(c.head[c.have:], b)
			c.have, b = c.have+n, b[n:]
			if c.have == len(c.head) {
				c.left = int(binary.BigEndian.Uint32(c.head[:])) - 2
				c.joining.Store(API(binary.BigEndian.Uint16(c.head[4:])) == JoinGroup)
			}
			continue
		}
		n := min(max(c.left, 0), len(b))
		c.left, b = c.left-n, b[n:]
		if c.left <= 0 {
			c.have = 0
		}
	}
}

func (c *accepted) Write(p []byte) (int, error) {
	c.joining.Store(false)
	return c.Conn.Write(p)
}

func (c *accepted) Close() error {
	c.closing.Do(func() { close(c.closed) })
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
