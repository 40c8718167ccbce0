// Package store reads and writes the ledger: the control topic and the audit topic. What
// their records mean is left to package ledger.
//
// A Writer owns one transactional ID, such as that of a batch. Whoever opens it next takes
// it over, and Kafka refuses all that the previous owner still sends, whether it was
// killed, slept, or has another idea of the time. So what a Writer read when it was opened
// stays true for what it owns, until somebody takes it over; and rows and the
// checkpoint that counts them are in Kafka together or not at all.
//
// In a transaction the ledger's records are stored last: readers of the control topic wait
// for whatever transaction is open in it, and so wait for the commit alone.
package store

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// ErrMissing is the error of a ledger whose control topic does not exist.
var ErrMissing = errors.New("the control topic does not exist")

// Options say where the ledger is, and who uses it.
type Options struct {
	Connection *broker.Connection
	Control    string // topic
	Audit      string // topic
	Group      string // the service's consumer group
	// Trusted are the actors whose records count; nil: everybody's.
	Trusted ledger.Trusted
	// Author is named in what is written. Only a Writer needs it.
	Author ledger.Author
	// Sign signs what is written; nil: it is not signed.
	Sign ed25519.PrivateKey
	// Retrying is called each time a request failed and will be repeated. Nil: no calls.
	Retrying func(err error)
}

// Topics returns the two topics as they have to be.
func Topics(control, audit string) []broker.Topic {
	return []broker.Topic{
		Compacted(control),
		{Name: audit, Partitions: 1, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}},
	}
}

// Compacted returns a topic of one partition that keeps the last record of each key.
func Compacted(name string) broker.Topic {
	return broker.Topic{Name: name, Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact", "segment.ms": "86400000"}}
}

// Check returns ErrMissing, or why the control topic can't hold a ledger. It retries
// transient errors until ctx ends.
func Check(ctx context.Context, o Options) error {
	states, err := o.Connection.Describe(ctx, o.Retrying, o.Control)
	if err != nil {
		return err
	}
	s := states[o.Control]
	switch {
	case errors.Is(s.Err, kafka.UnknownTopicOrPartition):
		return fmt.Errorf("%w: %s (kafka.topics.control); verdict topics creates it", ErrMissing, o.Control)
	case s.Partitions != 1:
		return fmt.Errorf("the control topic %s has %d partitions and must have one, since its order decides; name another topic in kafka.topics.control, which verdict topics will create", o.Control, s.Partitions)
	}
	if policy, known := s.Configs["cleanup.policy"]; known && strings.TrimSpace(policy) != "compact" {
		return fmt.Errorf("the control topic %s has cleanup.policy=%s, so that Kafka would delete what must not be forgotten; set it to compact (kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact)",
			o.Control, decision.OneLine(policy, 50), o.Control)
	}
	return nil
}

// Ensure creates the topics of the ledger where they are missing, and checks the control
// topic.
func Ensure(ctx context.Context, o Options) error {
	err := Check(ctx, o)
	if err == nil {
		audit, described := o.Connection.Describe(ctx, o.Retrying, o.Audit)
		if described != nil || !errors.Is(audit[o.Audit].Err, kafka.UnknownTopicOrPartition) {
			return described
		}
	} else if !errors.Is(err, ErrMissing) {
		return err
	}
	if _, created := broker.Create(ctx, o.Connection.Client(), Topics(o.Control, o.Audit)); created != nil {
		return fmt.Errorf("the ledger needs its topics: %w", created)
	}
	return Check(ctx, o)
}

// Read returns the ledger as it is now. It retries transient errors until ctx ends. Records
// that count for nothing are passed to refused; nil: they are dropped.
func Read(ctx context.Context, o Options, refused func(*ledger.Refused)) (*ledger.State, error) {
	if err := Check(ctx, o); err != nil {
		return nil, err
	}
	state := ledger.New(o.Group, o.Trusted)
	if err := witness(ctx, o, state); err != nil {
		return nil, err
	}
	// Up to the end of the log, past what readers may see yet: what is being committed has
	// to be waited for.
	ends, err := o.Connection.LogEnds(ctx, o.Control)
	if err != nil {
		return nil, err
	}
	err = o.Connection.Scan(ctx, broker.ScanOptions{Topic: o.Control, Ends: ends, Retrying: o.Retrying}, func(rec decision.Record) error {
		if _, err := state.Apply(&rec); err != nil && refused != nil {
			if r, ok := errors.AsType[*ledger.Refused](err); ok {
				refused(r)
			}
		}
		return nil
	})
	return state, err
}

// witness has the state take the audit topic, where signatures count.
func witness(ctx context.Context, o Options, state *ledger.State) error {
	if o.Trusted == nil {
		return nil
	}
	err := o.Connection.Scan(ctx, broker.ScanOptions{Topic: o.Audit, Retrying: o.Retrying}, func(rec decision.Record) error {
		state.Witness(&rec)
		return nil
	})
	if errors.Is(err, broker.ErrNoTopic) {
		return nil
	}
	return err
}
