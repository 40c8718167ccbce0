package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// Probe is one connection to one broker, made step by step so that a failure has
// a cause, and for requests that a Client would not send. It is not safe for
// concurrent use.
type Probe struct {
	conn  *protocol.Conn
	state *tls.ConnectionState
}

// OpenProbe connects to a broker as every other connection does: TLS, then the
// login, then a first request. Its error is a *ConnectError. The deadline of ctx,
// if it has one, bounds all of that and the probe's requests.
func (c *Connection) OpenProbe(ctx context.Context, address string) (*Probe, error) {
	timeout := secondTryTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	p, at, err := c.openProbe(ctx, address)
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil && at == stepDial {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return nil, &ConnectError{Address: address, Cause: c.causeOf(ctx, address, at, err, timeout), Err: err}
}

// step is a step of making a connection.
type step uint8

const (
	stepDial     step = iota // socket and TLS
	stepVersions             // the first exchange of Kafka's protocol, which needs no login
	stepMechanism
	stepLogin
	stepRequest // the first exchange that needs a login
)

func (c *Connection) openProbe(ctx context.Context, address string) (_ *Probe, at step, err error) {
	conn, _, at, err := c.open(ctx, address)
	if err != nil {
		return nil, at, err
	}
	p := &Probe{conn: conn.protocol}
	if secured, ok := conn.socket.(*trackedConn).Conn.(*tls.Conn); ok {
		state := secured.ConnectionState()
		p.state = &state
	}
	if _, err := p.conn.RoundTrip(&metadata.Request{TopicNames: []string{}}); err != nil {
		conn.Close()
		return nil, stepRequest, err
	}
	return p, 0, nil
}

// openConn is a connection to a broker that may be used for requests.
type openConn struct {
	socket   net.Conn
	protocol *protocol.Conn // through it
}

// Close closes the connection.
func (o openConn) Close() { _ = o.socket.Close() }

// open connects to a broker: socket and TLS, the newest versions of its requests, the
// login. The connection keeps the deadline of ctx.
func (c *Connection) open(ctx context.Context, address string) (conn openConn, newest map[protocol.ApiKey]int16, at step, err error) {
	if conn.socket, err = c.conns.dial(ctx, "tcp", address); err != nil {
		return conn, nil, stepDial, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	conn.protocol = protocol.NewConn(conn.socket, c.options.ClientID)
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.socket.SetDeadline(deadline); err != nil {
			return conn, nil, stepDial, err
		}
	}
	if newest, err = negotiate(conn.protocol); err != nil {
		return conn, nil, stepVersions, err
	}
	if c.options.SASL != nil {
		if at, err := authenticate(ctx, conn.protocol, c.options.SASL, address); err != nil {
			return conn, nil, at, err
		}
	}
	return conn, newest, 0, nil
}

// negotiate finds out which versions of each request the broker supports. It returns the
// newest ones, which may be newer than kafka-go's.
func negotiate(conn *protocol.Conn) (newest map[protocol.ApiKey]int16, err error) {
	answer, err := conn.RoundTrip(new(apiversions.Request))
	if err != nil {
		return nil, err
	}
	res := answer.(*apiversions.Response)
	if res.ErrorCode != 0 {
		return nil, kafka.Error(res.ErrorCode)
	}
	newest = make(map[protocol.ApiKey]int16, len(res.ApiKeys))
	versions := make(map[protocol.ApiKey]int16, len(res.ApiKeys))
	for _, k := range res.ApiKeys {
		key := protocol.ApiKey(k.ApiKey)
		newest[key] = k.MaxVersion
		versions[key] = key.SelectVersion(k.MinVersion, k.MaxVersion)
	}
	// kafka-go v0.4.51 decodes the fields of later versions' answers in the wrong
	// order, and then sees no error.
	versions[protocol.Heartbeat] = 0
	conn.SetVersions(versions)
	return newest, nil
}

// authenticate logs in. It returns the step at which it failed.
func authenticate(ctx context.Context, conn *protocol.Conn, mechanism sasl.Mechanism, address string) (step, error) {
	answer, err := conn.RoundTrip(&saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return stepMechanism, err
	}
	if res := answer.(*saslhandshake.Response); res.ErrorCode != 0 {
		return stepMechanism, &mechanismError{offered: res.Mechanisms, err: kafka.Error(res.ErrorCode)}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return stepLogin, err
	}
	session, message, err := mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	if err != nil {
		return stepLogin, err
	}
	for done := false; !done; {
		answer, err := conn.RoundTrip(&saslauthenticate.Request{AuthBytes: message})
		if err != nil {
			return stepLogin, err
		}
		res := answer.(*saslauthenticate.Response)
		if res.ErrorCode != 0 {
			return stepLogin, kafka.Error(res.ErrorCode)
		}
		if done, message, err = session.Next(ctx, res.AuthBytes); err != nil {
			return stepLogin, err
		}
	}
	return 0, nil
}

// mechanismError is the error of a broker that does not offer the mechanism of a
// login.
type mechanismError struct {
	offered []string
	err     error
}

func (e *mechanismError) Error() string {
	return fmt.Sprintf("%v; the broker offers %s", e.err, strings.Join(e.offered, ", "))
}
func (e *mechanismError) Unwrap() error { return e.err }

// Close closes the connection.
func (p *Probe) Close() {
	_ = p.conn.Close() // no request is in progress
}

// TLS returns the state of the TLS connection, with the broker's certificate; nil
// without TLS.
func (p *Probe) TLS() *tls.ConnectionState { return p.state }
