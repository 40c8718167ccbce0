package redrive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// Redriver sends dead letters back, or dismisses them. It belongs to one goroutine.
type Redriver struct {
	options    Options
	topicID    string     // of the dead letter topic, as the ledger names it
	key        ledger.Key // of whoever works on the topic
	targets    []string
	partitions map[string]int       // of the targets that exist
	bounds     map[int]broker.Bound // of the dead letters, at the start
	windows    windows
	carried    windows // what the ledger does not have yet, of windows
	chosen     int64   // by the last Scan; -1: there was none
}

// New returns a Redriver for the dead letters that exist now. It reads which of them went
// back or were dismissed before, and writes nothing.
func New(ctx context.Context, o Options) (*Redriver, error) {
	r := &Redriver{options: o.withDefaults(), targets: o.Targets, partitions: make(map[string]int), chosen: -1}
	connection := o.Ledger.Connection
	var err error
	if r.bounds, err = topicread.Bounds(ctx, connection, o.DeadLetters); err != nil {
		return nil, err
	}
	if r.topicID, err = store.TopicID(ctx, connection, o.DeadLetters); err != nil {
		return nil, err
	}
	r.key = ownerKey(r.topicID)
	state, err := store.Read(ctx, r.options.Ledger, nil)
	if errors.Is(err, store.ErrMissing) {
		state, err = ledger.New(o.Ledger.Group, o.Ledger.Trusted), nil
	}
	if err != nil {
		return nil, err
	}
	// The ends now are not before what the ledger knows.
	if r.bounds, err = connection.Bounds(ctx, o.DeadLetters); err != nil {
		return nil, err
	}
	if r.windows = windowsIn(state, r.topicID); !r.isKnown(state) {
		if r.carried, err = r.remembered(ctx, state); err != nil {
			return nil, err
		}
		r.windows = r.carried
	}
	if err := r.windows.checkEnds(o.DeadLetters, r.bounds); err != nil {
		return nil, err
	}
	return r, r.findTargets(ctx)
}

// ownerKey is the key of whoever works on the letters of a topic.
func ownerKey(topicID string) ledger.Key {
	return ledger.Key{Kind: ledger.KindRedrive, Name: topicID}
}

// findTargets notes the topics that letters may go back to, as far as they exist.
func (r *Redriver) findTargets(ctx context.Context) error {
	if r.options.Action != SendBack {
		return nil
	}
	if r.options.AnyTopic {
		if err := r.addTargets(ctx); err != nil {
			return err
		}
	}
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), r.isForbidden)
	for _, target := range r.targets {
		ends, err := r.options.Ledger.Connection.LogEnds(ctx, target)
		if errors.Is(err, broker.ErrNoTopic) {
			continue
		}
		if err != nil {
			return err
		}
		r.partitions[target] = len(ends)
	}
	return nil
}

// isForbidden reports whether no dead letter may go back to a topic: it is one of Kafka's
// own, or what Verdict writes.
func (r *Redriver) isForbidden(topic string) bool {
	return topic == r.options.DeadLetters || strings.HasPrefix(topic, "__") || slices.Contains(r.options.Never, topic)
}

// readLetters reads the dead letters that existed at the start.
func (r *Redriver) readLetters(ctx context.Context, each func(*decision.Record) error) error {
	ends := make(map[int]int64, len(r.bounds))
	for partition, b := range r.bounds {
		ends[partition] = b.End
	}
	since := r.options.Filter.Since
	if !since.IsZero() {
		since = since.Add(-topicread.ClockSkew)
	}
	return r.options.Ledger.Connection.Scan(ctx, broker.ScanOptions{Topic: r.options.DeadLetters, Since: since, Ends: ends, Retrying: r.options.Retrying},
		func(rec decision.Record) error { return each(&rec) })
}

// addTargets adds every topic that a dead letter came from to the targets.
func (r *Redriver) addTargets(ctx context.Context) error {
	const most = 1000
	r.targets = slices.Clone(r.targets)
	return r.readLetters(ctx, func(rec *decision.Record) error {
		d, err := decision.ParseDeadLetter(rec)
		if err != nil || slices.Contains(r.targets, d.Original.Topic) || r.isForbidden(d.Original.Topic) {
			return nil
		}
		if len(r.targets) == most {
			return fmt.Errorf("the dead letters come from more than %d topics; redrive them without --any-topic", most)
		}
		r.targets = append(r.targets, d.Original.Topic)
		return nil
	})
}
