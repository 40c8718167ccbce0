package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"
)

// ConnectError is why a broker can't be used.
type ConnectError struct {
	Address string
	Cause   Cause
	Err     error // as it came
}

// Error says the cause, and the error where it says more.
func (e *ConnectError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Address, e.Cause, e.Err) }

// Unwrap is the error as it came.
func (e *ConnectError) Unwrap() error { return e.Err }

// Cause is a cause of a failed connection, as it is told to people.
type Cause string

// The causes that are told apart.
const (
	CauseDNS         Cause = "no such host"
	CauseRefused     Cause = "nobody listens at this address"
	CauseUnreachable Cause = "no way to this address"
	CauseTimeout     Cause = "no answer in time"
	CausePlainPort   Cause = "TLS is on, and this port speaks plain text"
	CauseTLSPort     Cause = "TLS is off, and this port speaks TLS"
	CauseAuthority   Cause = "the broker's certificate is from an authority that is not trusted"
	CauseHostname    Cause = "the broker's certificate is for another name"
	CauseExpired     Cause = "the broker's certificate is expired or not valid yet"
	CauseCertificate Cause = "the broker's certificate can't be used"
	CauseClientCert  Cause = "the broker refuses our certificate, or wants one"
	CauseFile        Cause = "a file that TLS or SASL needs can't be used"
	CauseMechanism   Cause = "the broker does not offer this SASL mechanism"
	CauseNoSASL      Cause = "the broker expects no SASL login at this port"
	CauseCredentials Cause = "the broker refuses user name or password"
	CauseLoginWanted Cause = "the broker ended the connection at the first request: it may want a SASL login"
	CauseNotKafka    Cause = "this port does not answer in Kafka's protocol"
	CauseHandshake   Cause = "the broker ended the TLS handshake"
	CauseUnknown     Cause = "the connection failed"
)

// causeOf is the table of causes. It returns CauseUnknown where the error leaves
// it open.
func causeOf(at step, err error) Cause {
	var invalid x509.CertificateInvalidError
	switch {
	case is[*net.DNSError](err):
		return CauseDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CauseRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return CauseUnreachable
	case is[*FileError](err), is[*os.PathError](err):
		return CauseFile

	case is[x509.UnknownAuthorityError](err):
		return CauseAuthority
	case is[x509.HostnameError](err):
		return CauseHostname
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CauseExpired
	case errors.As(err, &invalid):
		return CauseCertificate
	case isAlert(err) && strings.Contains(err.Error(), "certificate"):
		return CauseClientCert // with TLS 1.3 it is read after the handshake
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

	case timedOut(err) && (at > stepVersions || isTimeoutOfDial(err)):
		return CauseTimeout
	}
	return CauseUnknown
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
