package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"
)

// ConnectError says why a broker can't be used.
type ConnectError struct {
	Address string
	Cause   Cause
	Err     error
}

// Error returns address, cause and error.
func (e *ConnectError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Address, e.Cause, e.Err) }

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// Cause is the cause of a failed connection, in words for people.
type Cause string

// The causes that can be distinguished.
const (
	CauseDNS         Cause = "no such host"
	CauseRefused     Cause = "nothing listens at this address"
	CauseUnreachable Cause = "no route to this address"
	CauseTimeout     Cause = "no answer in time"
	CausePlainPort   Cause = "TLS is on, but this port speaks plain text"
	CauseTLSPort     Cause = "TLS is off, but this port speaks TLS"
	CauseAuthority   Cause = "the broker's certificate is from an authority that is not trusted"
	CauseHostname    Cause = "the broker's certificate is for another name"
	CauseExpired     Cause = "the broker's certificate is expired or not valid yet"
	CauseCertificate Cause = "the broker's certificate can't be used"
	CauseClientCert  Cause = "the broker refuses our certificate, or requires one"
	CauseFile        Cause = "a file that TLS or SASL needs can't be used"
	CauseMechanism   Cause = "the broker does not offer this SASL mechanism"
	CauseNoSASL      Cause = "the broker expects no SASL login at this port"
	CauseCredentials Cause = "the broker refuses the user name or password"
	CauseLoginWanted Cause = "the broker closed the connection at the first request: it may require a SASL login"
	CauseNotKafka    Cause = "this port does not speak Kafka's protocol"
	CauseHandshake   Cause = "the broker broke off the TLS handshake"
	CauseUnknown     Cause = "the connection failed"
)

// causeByError is the table of causes. It returns CauseUnknown where the error
// leaves the cause open.
func causeByError(at step, err error) Cause {
	var invalid x509.CertificateInvalidError
	switch {
	case hasType[*net.DNSError](err):
		return CauseDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return CauseUnreachable
	case hasType[*FileError](err), hasType[*os.PathError](err):
		return CauseFile

	case hasType[x509.UnknownAuthorityError](err):
		return CauseAuthority
	case hasType[x509.HostnameError](err):
		return CauseHostname
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CauseExpired
	case errors.As(err, &invalid):
		return CauseCertificate
	case isAlert(err) && strings.Contains(err.Error(), "certificate"):
		return CauseClientCert // with TLS 1.3 the alert is read after the handshake
	case isAlert(err):
		return CauseHandshake

	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return CauseMechanism
	case at == stepMechanism && errors.Is(err, kafka.IllegalSASLState), at == stepMechanism && isCut(err):
		return CauseNoSASL
	case errors.Is(err, kafka.SASLAuthenticationFailed), at == stepLogin && isCut(err):
		return CauseCredentials
	case at == stepRequest && isCut(err):
		return CauseLoginWanted

	case isTimeout(err) && (at > stepVersions || isDialError(err)):
		return CauseTimeout
	}
	return CauseUnknown
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// isDialError reports whether the socket itself could not be connected.
func isDialError(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// isAlert reports whether err is an alert that the other side sent in a TLS
// handshake.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// isCut reports whether the other side closed a connection without an answer.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
