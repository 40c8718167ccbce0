// Package broker is Kafka in both directions that is not consuming: reaching
// the cluster (Connection), its topics (Create, Partitions, Bounds), publishing
// with acknowledgement (Publisher), and reading a topic without a group, leaving
// no trace (Scan). Consuming is left to package consumer, which
// takes its dialer and client from here, so that every connection of the
// process is made in one way. It stands on kafka-go.
package broker

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// ErrConnectionClosed is the error of a dial after Connection.Close.
var ErrConnectionClosed = errors.New("broker: connection is closed")

// ErrNotKafka is the error of a connection whose other end does not answer in
// Kafka's protocol.
var ErrNotKafka = errors.New("broker: the answer is not in Kafka's protocol: does the port speak TLS, or HTTP?")

// defaultDialTimeout bounds a dial, with TLS and SASL, unless Options say
// otherwise.
const defaultDialTimeout = 10 * time.Second

// requestTimeout bounds each request of Client. The brokers are told half of it
// as their own limit; were there none, kafka-go would tell them half a second to
// two, in which a busy cluster does not store a record or create a topic.
const requestTimeout = 30 * time.Second

// Options say how a cluster is reached.
type Options struct {
	// Brokers are the host:port of one or more brokers, by which the others
	// are found. Required.
	Brokers []string
	// ClientID is the name that the brokers see in their logs and quotas;
	// empty is none.
	ClientID string
	// TLS is asked at each connection how to encrypt it, see TLSFiles.Config;
	// nil means plain text. The server name is the broker's host unless the
	// answer has one.
	TLS func() (*tls.Config, error)
	// SASL authenticates every connection, see NewLogin; nil means none.
	SASL sasl.Mechanism
	// DialTimeout bounds making one connection, TLS and SASL included; 0 means
	// 10s.
	DialTimeout time.Duration
	// DialFunc opens a connection; nil means net.Dialer. Tests in a synctest
	// bubble give embedded.Network.DialContext.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) validate() error {
	if len(o.Brokers) == 0 {
		return errors.New("broker: no brokers")
	}
	for _, addr := range o.Brokers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("broker: broker %q: %w", addr, err)
		}
	}
	if o.DialTimeout < 0 {
		return fmt.Errorf("broker: dial timeout %v is negative", o.DialTimeout)
	}
	return nil
}

// Connection is a cluster as Options reach it. Connections are made when they
// are needed: a Connection to a cluster that is away is no error.
type Connection struct {
	options   Options
	dialer    *kafka.Dialer
	transport *kafka.Transport
	client    *kafka.Client

	cancel context.CancelFunc // ends dials under way and the transport's goroutines
	dials  dials
}

// NewConnection checks the options; it reaches for nothing yet.
func NewConnection(o Options) (*Connection, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = defaultDialTimeout
	}
	if o.DialFunc == nil {
		o.DialFunc = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Connection{options: o, cancel: cancel}
	c.dials = dials{dial: o.DialFunc, tls: o.TLS, ctx: ctx, open: make(map[*dialled]struct{})}
	c.dialer = &kafka.Dialer{
		ClientID:      o.ClientID,
		Timeout:       o.DialTimeout,
		DialFunc:      c.dials.dialContext,
		SASLMechanism: o.SASL,
	}
	c.transport = &kafka.Transport{
		Dial:        c.dials.dialContext,
		DialTimeout: o.DialTimeout,
		ClientID:    o.ClientID,
		SASL:        o.SASL,
		Context:     ctx,
	}
	c.client = &kafka.Client{Addr: kafka.TCP(o.Brokers...), Transport: c.transport, Timeout: requestTimeout}
	return c, nil
}

// Brokers are the addresses that the connection was made with.
func (c *Connection) Brokers() []string { return slices.Clone(c.options.Brokers) }

// Dialer is for kafka.ConsumerGroup and kafka.Reader, which own the connections
// that they dial.
func (c *Connection) Dialer() *kafka.Dialer { return c.dialer }

// Client sends single requests by the transport, each bounded by its context
// and by 30 seconds.
func (c *Connection) Client() *kafka.Client { return c.client }

// Close closes every connection and returns when their owners have let go of
// them. Groups, readers and publishers are to be closed before: what they still
// wait for fails.
//
// Transport.CloseIdleConnections alone would not do. It leaves the connections
// that are in use, each with a goroutine, until their answer or its deadline,
// and dials under way until DialTimeout. So the sockets are closed beneath
// them, which ends both at once.
func (c *Connection) Close() {
	c.cancel()
	c.transport.CloseIdleConnections()
	c.dials.close()
}

// dials makes connections, with TLS, and keeps them, so that close can end them.
type dials struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	tls  func() (*tls.Config, error) // nil: plain text
	ctx  context.Context             // ends at close

	mu     sync.Mutex
	closed bool
	open   map[*dialled]struct{}
	owned  sync.WaitGroup // one for each connection that its owner has not closed
}

func (d *dials) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.ctx, func() { cancel(ErrConnectionClosed) })()

	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &dialled{Conn: conn, socket: conn, dials: d}
	if d.tls != nil {
		secured, err := secure(ctx, conn, d.tls, address)
		if err != nil {
			return nil, err
		}
		c.Conn = secured
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Looked at under the lock: else a connection made while close goes
	// through the open ones would be missed by it.
	if d.closed {
		conn.Close()
		return nil, ErrConnectionClosed
	}
	d.open[c] = struct{}{}
	d.owned.Add(1)
	return c, nil
}

func (d *dials) close() {
	d.mu.Lock()
	d.closed = true
	for c := range d.open {
		c.socket.Close() // TLS would say good-bye first, and wait for it to be sent
	}
	d.mu.Unlock()
	d.owned.Wait()
}

// dialled is a connection whose owner has not closed it yet.
type dialled struct {
	net.Conn
	socket net.Conn // beneath TLS; without it, the same
	dials  *dials
	once   sync.Once
	first  firstAnswer
}

// Read is called by one goroutine of kafka-go at a time.
func (c *dialled) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.first.plausible(p[:n]) {
		return 0, ErrNotKafka
	}
	return n, err
}

// Close is called by the connection's owner, kafka-go.
func (c *dialled) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.dials.mu.Lock()
		delete(c.dials.open, c)
		c.dials.mu.Unlock()
		c.dials.owned.Done()
	})
	return err
}

// maxFirstAnswer is how large the first answer of a broker may be, which lists
// what it understands: some hundred bytes, and ten times that with many brokers.
const maxFirstAnswer = 16 << 20

// firstAnswer looks at the size of a connection's first answer. kafka-go
// believes any size and any length of a list: the answer of a web server makes
// it fill the memory for a minute.
type firstAnswer struct {
	size [4]byte
	seen int
}

func (f *firstAnswer) plausible(p []byte) bool {
	if f.seen == len(f.size) {
		return true
	}
	f.seen += copy(f.size[f.seen:], p)
	return f.seen < len(f.size) || binary.BigEndian.Uint32(f.size[:]) <= maxFirstAnswer
}
