package embedded

import (
	"net"
	"sync"
)

// listener ends the connections that it accepted when it is closed. kfake leaves
// those of a broker that is taken out open: whoever has one goes on asking a
// broker that leads nothing any more, also when another listens in its place.
type listener struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[*accepted]struct{}
}

// listening makes listeners of listen end with their connections.
func listening(listen func(network, address string) (net.Listener, error)) func(network, address string) (net.Listener, error) {
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
	c := &accepted{Conn: conn, listener: l}
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

// accepted is a server's half of a connection, known to its listener until it is
// closed.
type accepted struct {
	net.Conn
	listener *listener
}

func (c *accepted) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
