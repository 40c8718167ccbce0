package broker

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// secondTryTimeout bounds the second connection to a port, which gets no more
// time than the first one had.
const secondTryTimeout = 5 * time.Second

// causeOf returns why a connection failed. Where the error leaves two causes
// open, it tries to connect once more in the other protocol.
func (c *Connection) causeOf(ctx context.Context, address string, at step, err error, timeout time.Duration) Cause {
	cause := causeByError(at, err)
	if cause != CauseUnknown {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	switch {
	case at == stepDial && c.options.TLS != nil && !isDialError(err) && speaksPlain(ctx, c.conns.dialFunc, address, c.options.ClientID):
		return CausePlainPort
	case at == stepVersions && c.options.TLS == nil && speaksTLS(ctx, c.conns.dialFunc, address):
		return CauseTLSPort
	case isTimeout(err):
		return CauseTimeout
	case at == stepDial && isCut(err):
		return CauseHandshake
	case at == stepVersions:
		return CauseNotKafka
	}
	return cause
}

// speaksTLS reports whether a port whose plain connection failed speaks TLS.
func speaksTLS(ctx context.Context, dial dialFunc, address string) bool {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	err = tls.Client(conn, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent; it only finds out whether the port answers in TLS
	}).HandshakeContext(ctx)
	return err == nil || isAlert(err)
}

// speaksPlain reports whether a port whose TLS failed speaks Kafka's protocol
// without TLS.
func speaksPlain(ctx context.Context, dial dialFunc, address, clientID string) bool {
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return false
	}
	_, err = negotiate(protocol.NewConn(&trackedConn{Conn: conn}, clientID))
	return err == nil
}
