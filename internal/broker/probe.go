package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// Probe is one connection to one broker, made step by step so that what fails
// can be told, and for requests that a Client would not send. It is for one
// goroutine.
type Probe struct {
	conn  *protocol.Conn
	state *tls.ConnectionState
}

// Probe connects to a broker as every other connection does: TLS, then the
// login, then a first request. Its error is a *ConnectError. ctx bounds all of
// that and the probe's requests, if it has a deadline.
func (c *Connection) OpenProbe(ctx context.Context, address string) (*Probe, error) {
	patience := probeAgain
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	p, step, err := c.probe(ctx, address)
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil && step == stepDial {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return nil, &ConnectError{Address: address, Cause: c.causeOf(ctx, address, step, err, patience), Err: err}
}

// The steps of a connection.
type step uint8

const (
	stepDial     step = iota // socket and TLS
	stepVersions             // the first exchange of Kafka's protocol, which needs no login
	stepMechanism
	stepLogin
	stepRequest // the first exchange that needs a login
)

func (c *Connection) probe(ctx context.Context, address string) (_ *Probe, at step, err error) {
	conn, err := c.dials.dialContext(ctx, "tcp", address)
	if err != nil {
		return nil, stepDial, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	p := &Probe{conn: protocol.NewConn(conn, c.options.ClientID)}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, stepDial, err
		}
	}
	if secured, ok := conn.(*dialled).Conn.(*tls.Conn); ok {
		state := secured.ConnectionState()
		p.state = &state
	}
	if err := negotiate(p.conn); err != nil {
		return nil, stepVersions, err
	}
	if c.options.SASL != nil {
		if at, err := authenticate(ctx, p.conn, c.options.SASL, address); err != nil {
			return nil, at, err
		}
	}
	if _, err := p.conn.RoundTrip(&metadata.Request{TopicNames: []string{}}); err != nil {
		return nil, stepRequest, err
	}
	return p, 0, nil
}

// negotiate learns which versions of each request the broker speaks.
func negotiate(conn *protocol.Conn) error {
	answer, err := conn.RoundTrip(new(apiversions.Request))
	if err != nil {
		return err
	}
	res := answer.(*apiversions.Response)
	if res.ErrorCode != 0 {
		return kafka.Error(res.ErrorCode)
	}
	versions := make(map[protocol.ApiKey]int16, len(res.ApiKeys))
	for _, k := range res.ApiKeys {
		key := protocol.ApiKey(k.ApiKey)
		versions[key] = key.SelectVersion(k.MinVersion, k.MaxVersion)
	}
	// Of later versions kafka-go takes the answer's fields in the wrong order
	// (v0.4.51), and then sees no error.
	versions[protocol.Heartbeat] = 0
	conn.SetVersions(versions)
	return nil
}

// authenticate logs in, and says how far it came.
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
	session, say, err := mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	if err != nil {
		return stepLogin, err
	}
	for done := false; !done; {
		answer, err := conn.RoundTrip(&saslauthenticate.Request{AuthBytes: say})
		if err != nil {
			return stepLogin, err
		}
		res := answer.(*saslauthenticate.Response)
		if res.ErrorCode != 0 {
			return stepLogin, kafka.Error(res.ErrorCode)
		}
		if done, say, err = session.Next(ctx, res.AuthBytes); err != nil {
			return stepLogin, err
		}
	}
	return 0, nil
}

// mechanismError is a broker that does not know the mechanism of a login.
type mechanismError struct {
	offered []string
	err     error
}

func (e *mechanismError) Error() string {
	return fmt.Sprintf("%v; the broker offers %s", e.err, strings.Join(e.offered, ", "))
}
func (e *mechanismError) Unwrap() error { return e.err }

// speaksTLS says whether a port whose plain connection failed speaks TLS.
func (c *Connection) speaksTLS(ctx context.Context, address string) bool {
	conn, err := c.dials.dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	err = tls.Client(conn, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent; it only looks whether somebody answers in TLS
	}).HandshakeContext(ctx)
	return err == nil || isAlert(err)
}

// speaksPlain says whether a port whose TLS failed speaks Kafka's protocol
// without TLS.
func (c *Connection) speaksPlain(ctx context.Context, address string) bool {
	conn, err := c.dials.dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return false
	}
	return negotiate(protocol.NewConn(&dialled{Conn: conn}, c.options.ClientID)) == nil
}

// probeAgain bounds the second look at a port, which gets no longer than the
// first one had.
const probeAgain = 5 * time.Second

// causeOf looks at a connection that failed once more, where a plain word and a
// TLS one tell two causes apart that look alike from outside.
func (c *Connection) causeOf(ctx context.Context, address string, at step, err error, patience time.Duration) Cause {
	cause := causeOf(at, err)
	if cause != CauseUnknown {
		return cause
	}
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	switch {
	case at == stepDial && c.options.TLS != nil && !isTimeoutOfDial(err) && c.speaksPlain(again, address):
		return CausePlainPort
	case at == stepVersions && c.options.TLS == nil && c.speaksTLS(again, address):
		return CauseTLSPort
	case timedOut(err):
		return CauseTimeout
	case at == stepDial && isCut(err):
		return CauseHandshake
	case at == stepVersions:
		return CauseNotKafka
	}
	return cause
}

// isTimeoutOfDial says whether there was no socket to begin with.
func isTimeoutOfDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// isAlert says whether err is the other side's word in a TLS handshake.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// isCut says whether the other side ended a connection without a word.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Close closes the connection.
func (p *Probe) Close() {
	_ = p.conn.Close() // nothing is on its way
}

// TLS is what the broker showed; nil without TLS.
func (p *Probe) TLS() *tls.ConnectionState { return p.state }

// MayDescribe says whether the topic may be seen: to who may not, a Client shows
// it as missing. nil: it may, or there is none.
func (p *Probe) MayDescribe(topic string) error {
	answer, err := p.conn.RoundTrip(&metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return err
	}
	for _, t := range answer.(*metadata.Response).Topics {
		if kafka.Error(t.ErrorCode) == kafka.TopicAuthorizationFailed {
			return kafka.TopicAuthorizationFailed
		}
	}
	return nil
}

// noPartition is the number of a partition that no topic has.
const noPartition = math.MaxInt32

// MayWrite tries to write to a partition that does not exist: who may write to
// the topic is told that there is no such partition, others that they may not.
// Nothing is written. nil: it may be written to.
func (p *Probe) MayWrite(topic string) error {
	req := &produce.Request{Acks: -1, Timeout: 1000, Topics: []produce.RequestTopic{{
		Topic: topic,
		Partitions: []produce.RequestPartition{{
			Partition: noPartition,
			RecordSet: protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(protocol.Record{Value: protocol.NewBytes([]byte{})})},
		}},
	}}}
	req.Prepare(2)
	answer, err := p.conn.RoundTrip(req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*produce.Response).Topics {
		for _, partition := range t.Partitions {
			return unlessMissing(partition.ErrorCode)
		}
	}
	return errors.New("the broker gave no answer for the topic")
}

// MayRead tries to read from a partition that does not exist, in the same way.
func (p *Probe) MayRead(topic string) error {
	answer, err := p.conn.RoundTrip(&fetch.Request{
		ReplicaID: -1, MaxBytes: 1, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{
			Topic:      topic,
			Partitions: []fetch.RequestPartition{{Partition: noPartition, CurrentLeaderEpoch: -1, PartitionMaxBytes: 1}},
		}},
	})
	if err != nil {
		return err
	}
	for _, t := range answer.(*fetch.Response).Topics {
		for _, partition := range t.Partitions {
			return unlessMissing(partition.ErrorCode)
		}
	}
	return errors.New("the broker gave no answer for the topic")
}

// MayJoin tries a heartbeat of a member that the group does not have: who may
// take part in the group is told so, others that they may not. Nothing changes
// in the group. Whether commits are allowed is the same question.
func (p *Probe) MayJoin(group string) error {
	answer, err := p.conn.RoundTrip(&heartbeat.Request{GroupID: group, GenerationID: math.MaxInt32, MemberID: "verdict-check"})
	if err != nil {
		return err
	}
	// The right is asked before anything else, by any broker; so every other code
	// is an answer to someone who has it.
	switch err := kafka.Error(answer.(*heartbeat.Response).ErrorCode); err {
	case kafka.GroupAuthorizationFailed, kafka.InvalidGroupId:
		return err
	}
	return nil
}

// unlessMissing is an error code as an error, if it is another than that of a
// partition that does not exist.
func unlessMissing(code int16) error {
	if err := kafka.Error(code); code != 0 && err != kafka.UnknownTopicOrPartition {
		return err
	}
	return nil
}
