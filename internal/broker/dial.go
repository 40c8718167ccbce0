package broker

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

// ErrNotKafka is the error of a connection whose other end does not speak
// Kafka's protocol.
var ErrNotKafka = errors.New("broker: the answer is not in Kafka's protocol: does the port speak TLS, or HTTP?")

// dialFunc opens a connection, like net.Dialer's DialContext.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// connTracker dials connections, with TLS, and tracks the open ones, so that
// close can end them.
type connTracker struct {
	dialFunc dialFunc
	tls      func() (*tls.Config, error) // nil: plain text
	ctx      context.Context             // ends at close

	mu     sync.Mutex
	closed bool
	open   map[*trackedConn]struct{}
	owned  sync.WaitGroup // one for each connection that its owner has not closed
}

func (t *connTracker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.ctx, func() { cancel(ErrConnectionClosed) })()

	conn, err := t.dialFunc(ctx, network, address)
	if err != nil {
		if t.ctx.Err() != nil {
			err = ErrConnectionClosed // the dial's error only says that ctx ended
		}
		return nil, err
	}
	c := &trackedConn{Conn: conn, socket: conn, tracker: t}
	if t.tls != nil {
		secured, err := handshakeTLS(ctx, conn, t.tls, address)
		if err != nil {
			return nil, err
		}
		c.Conn = secured
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Checked under the lock: otherwise close would miss a connection that is
	// made while it goes through the open ones.
	if t.closed {
		conn.Close()
		return nil, ErrConnectionClosed
	}
	t.open[c] = struct{}{}
	t.owned.Add(1)
	return c, nil
}

func (t *connTracker) close() {
	t.mu.Lock()
	t.closed = true
	for c := range t.open {
		c.socket.Close() // closing TLS would send an alert first, and wait for it
	}
	t.mu.Unlock()
	t.owned.Wait()
}

// trackedConn is a connection that its tracker knows until its owner closes it.
type trackedConn struct {
	net.Conn
	socket  net.Conn // beneath TLS; without TLS, the same
	tracker *connTracker
	once    sync.Once
	first   firstAnswer // only Read uses it
}

// Read reads from the connection. One goroutine of kafka-go calls it at a time.
func (c *trackedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.first.plausible(p[:n]) {
		return 0, ErrNotKafka
	}
	return n, err
}

// Close closes the connection. Its owner, kafka-go, calls it.
func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.tracker.mu.Lock()
		delete(c.tracker.open, c)
		c.tracker.mu.Unlock()
		c.tracker.owned.Done()
	})
	return err
}

// maxFirstAnswer bounds the first answer of a broker, in bytes. It lists the
// requests that the broker understands: a few hundred bytes, and ten times that
// with many brokers.
const maxFirstAnswer = 16 << 20

// firstAnswer checks the size of a connection's first answer, see the package
// comment.
type firstAnswer struct {
	size [4]byte
	seen int // bytes of size that were read
}

// plausible takes the next bytes that were read, and reports whether the first
// answer has a size that a broker's may have.
func (f *firstAnswer) plausible(p []byte) bool {
	if f.seen == len(f.size) {
		return true
	}
	f.seen += copy(f.size[f.seen:], p)
	return f.seen < len(f.size) || binary.BigEndian.Uint32(f.size[:]) <= maxFirstAnswer
}
