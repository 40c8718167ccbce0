// Package broker does everything that Verdict does with Kafka except consuming:
// reaching the cluster (Connection), its topics and groups (Create, Describe,
// Bounds, GroupOffsets), publishing with acknowledgement (Publisher, Append) or in
// transactions (Transactional), reading a topic without a group (Scan), and finding
// out why a broker can't be used (OpenProbe). It builds on kafka-go.
//
// Consuming is left to package consumer, which takes its dialer and client from
// here, so that every connection of the process is made in one way. What a
// fault of the cluster means for the configuration is left to package check.
//
// # Not obvious
//
// The TLS handshake is made here, beneath kafka-go: kafka-go's Dialer never
// closes a connection whose handshake failed. One function builds the TLS
// configuration for each connection, so that renewed files are read. In the same
// way NewLogin returns a sasl.Mechanism that asks for the password and builds
// the real mechanism at each login, and holds no password.
//
// The size of the first answer on each connection is checked. kafka-go believes
// any length, so the answer of a web server would make it fill memory for a
// minute.
//
// OpenProbe makes one connection step by step, so that its failure has a cause.
// Where the error leaves two causes open (TLS to a plain port, and plain text to
// a TLS port, both look like a connection that was cut), it tries a second time
// in the other protocol. A probe tests rights on what does not exist: a
// partition that no topic has, a member that the group does not have. It sends
// heartbeats of version 0, because kafka-go decodes the fields of later
// versions' answers in the wrong order.
//
// Publisher does not use kafka.Writer; its comment says why.
//
// Transactional sends kafka-go's requests for transactions and encodes the batches itself:
// kafka-go's have no producer. What kafka-go leaves to the caller: zero is a producer's
// ID, so none must be asked for with -1; an error in finding the coordinator is dropped,
// and the request goes to any broker, which answers that it is not the coordinator; a raw
// record set begins with its size. Each transaction of one owner has the same epoch, as
// before Kafka 4's second version of transactions, which kafka-go does not speak. So a
// request that was not answered ends the owner: it might arrive in the next transaction.
//
// Scan ends at the last stable offset and not at a record, since the last
// offsets of a partition may be markers or compacted away.
//
// Fetch makes its own connections and reads answers as raw batches (package recordset),
// for Scan and for package consumer. kafka-go's Reader and Client.Fetch unpack a batch
// whole, so that a few kilobytes take any amount of memory; they fail at batches that
// compaction has emptied, and know nothing of aborted transactions.
package broker

import (
	"context"
	"crypto/tls"
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

const (
	// defaultDialTimeout bounds a dial, with TLS and SASL, unless Options say
	// otherwise.
	defaultDialTimeout = 10 * time.Second

	// requestTimeout bounds each request of Client. kafka-go passes half of it
	// to the brokers as their own limit. Without a timeout it would pass half a
	// second to two seconds, too little for a busy cluster to store a record or
	// create a topic.
	requestTimeout = 30 * time.Second
)

// Options say how to reach a cluster.
type Options struct {
	// Brokers are the host:port of one or more brokers, through which the
	// others are found. Required.
	Brokers []string
	// ClientID is the name that the brokers see in their logs and quotas;
	// empty: none.
	ClientID string
	// TLS returns the configuration for one connection, see TLSFiles.Config.
	// The server name is the broker's host unless the configuration has one.
	// Nil: plain text.
	TLS func() (*tls.Config, error)
	// SASL authenticates every connection, see NewLogin. Nil: no login.
	SASL sasl.Mechanism
	// Rack is the rack that this process is in: records are read from replicas there, if
	// the brokers allow it. Empty: from the partitions' leaders.
	Rack string
	// DialTimeout bounds making one connection, TLS and SASL included; 0: 10s.
	DialTimeout time.Duration
	// DialFunc opens a connection; nil: net.Dialer. Tests in a synctest bubble
	// use embedded.Network.DialContext.
	DialFunc func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) validate() error {
	if len(o.Brokers) == 0 {
		return errors.New("broker: Brokers is empty; name at least one broker as host:port")
	}
	for _, addr := range o.Brokers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("broker: broker %q is not host:port: %w", addr, err)
		}
	}
	if o.DialTimeout < 0 {
		return fmt.Errorf("broker: DialTimeout is %v; it can't be negative", o.DialTimeout)
	}
	return nil
}

// Connection reaches a cluster as its Options say. It dials when a connection is
// needed, so it is no error if the cluster is unreachable.
type Connection struct {
	options   Options
	dialer    *kafka.Dialer
	transport *kafka.Transport
	client    *kafka.Client

	cancel context.CancelFunc // ends dials in progress and the transport's goroutines
	conns  connTracker

	fetches fetchConns
}

// NewConnection returns a Connection, or an error for options that can't work.
// It dials nothing yet.
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
	c.conns = connTracker{dialFunc: o.DialFunc, tls: o.TLS, ctx: ctx, open: make(map[*trackedConn]struct{})}
	c.fetches = fetchConns{
		connection: c, idle: make(map[string][]*fetchConn), topics: make(map[string]*fetchTopic),
		frames: sync.Pool{New: func() any { b := make([]byte, 0, fetchBytes+4096); return &b }},
	}
	c.dialer = &kafka.Dialer{
		ClientID:      o.ClientID,
		Timeout:       o.DialTimeout,
		DialFunc:      c.conns.dial,
		SASLMechanism: o.SASL,
	}
	c.transport = &kafka.Transport{
		Dial:        c.conns.dial,
		DialTimeout: o.DialTimeout,
		ClientID:    o.ClientID,
		SASL:        o.SASL,
		Context:     ctx,
	}
	c.client = &kafka.Client{Addr: kafka.TCP(o.Brokers...), Transport: c.transport, Timeout: requestTimeout}
	return c, nil
}

// Brokers returns the addresses that the Connection was made with.
func (c *Connection) Brokers() []string { return slices.Clone(c.options.Brokers) }

// Dialer returns the dialer for kafka.ConsumerGroup, which owns
// the connections that it dials.
func (c *Connection) Dialer() *kafka.Dialer { return c.dialer }

// Client returns the client for single requests. Each is bounded by its context
// and by 30 seconds.
func (c *Connection) Client() *kafka.Client { return c.client }

// Close closes every connection and returns when their owners have let go of
// them. Close groups, readers and publishers first: requests that they are still
// waiting for fail.
//
// Transport.CloseIdleConnections alone is not enough. It leaves connections in
// use, each with a goroutine, until their answer or its deadline, and dials in
// progress until DialTimeout. So Close closes the sockets beneath them, which
// ends both at once.
func (c *Connection) Close() {
	c.cancel()
	c.transport.CloseIdleConnections()
	c.fetches.close()
	c.conns.close()
}
