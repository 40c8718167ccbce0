package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// hint returns what most often causes err, to be appended to a message about it.
// It returns "" where the error says enough.
func hint(err error) string {
	switch {
	case errors.Is(err, kafka.UnknownTopicOrPartition), errors.Is(err, protocol.ErrNoTopic):
		return ": does the topic exist? (`verdict topics` creates it)"
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return ": does the Kafka user have the right to write to this topic?"
	case errors.Is(err, kafka.TransactionalIDAuthorizationFailed):
		return ": does the Kafka user have the right to write with this transactional ID?"
	case errors.Is(err, kafka.InvalidTransactionTimeout):
		return ": is the brokers' transaction.max.timeout.ms below a minute?"
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return ": does the Kafka user have the right to do this in the cluster?"
	case errors.Is(err, kafka.SASLAuthenticationFailed), errors.Is(err, kafka.UnsupportedSASLMechanism),
		errors.Is(err, kafka.IllegalSASLState):
		return ": are the SASL mechanism, user name and password right?"
	case errors.Is(err, kafka.InvalidTopic):
		return ": is the topic's name spelled right?"
	case errors.Is(err, kafka.NotEnoughReplicas), errors.Is(err, kafka.NotEnoughReplicasAfterAppend):
		return ": fewer replicas are in sync than the topic's min.insync.replicas; are brokers down?"
	case errors.Is(err, kafka.InvalidReplicationFactor):
		return ": are there as many brokers as replicas?"
	case errors.Is(err, kafka.InvalidRecord), errors.Is(err, kafka.InvalidTimestamp):
		return ": the broker refuses a record; is the topic compacted while records have no key?"
	case errors.Is(err, kafka.PolicyViolation):
		return ": a policy of the cluster forbids it"
	case errors.Is(err, protocol.ErrNoLeader), errors.Is(err, kafka.LeaderNotAvailable),
		errors.Is(err, kafka.BrokerNotAvailable):
		return ": the partition has no leader; are brokers down?"
	case hasType[*tls.CertificateVerificationError](err), isAlert(err):
		return ": " + string(causeByError(stepDial, err)) + " (for details, run `verdict check`)"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), hasType[*net.DNSError](err):
		return ": are the brokers up, and are their addresses and TLS right? (for details, run `verdict check`)"
	}
	return ""
}

func hasType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
