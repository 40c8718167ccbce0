package redrive

import (
	"context"
	"fmt"
	"slices"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// Redriver sends dead letters back. It belongs to one goroutine, and no two may work on
// one topic at once; see Lock.
type Redriver struct {
	options    Options
	targets    []string
	bounds     map[int]broker.Bound // of the dead letters, at the start
	existing   map[string]bool      // the targets that exist
	redriven   *offsetSet
	targetEnds map[string]map[int]int64 // of the targets, at the last checkpoint
}

// New returns a Redriver for the dead letters that exist now. It reads which of them
// went back before.
func New(ctx context.Context, o Options) (*Redriver, error) {
	r := &Redriver{
		options: o.withDefaults(), targets: o.Targets, existing: make(map[string]bool), targetEnds: make(map[string]map[int]int64),
		redriven: newOffsetSet(redriveGroup(o.Group), o.DeadLetters),
	}
	var err error
	if r.bounds, err = topicread.Bounds(ctx, o.Connection, o.DeadLetters); err != nil {
		return nil, err
	}
	if err := r.redriven.load(ctx, o.Connection, r.bounds); err != nil {
		return nil, err
	}
	if o.AnyTopic {
		if err := r.addTargets(ctx); err != nil {
			return nil, err
		}
	}
	return r, r.findCopies(ctx)
}

// redriveGroup returns the consumer group that holds what was redriven; group is the
// service's own.
func redriveGroup(group string) string { return group + "-redrive" }

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
	return r.options.Connection.Scan(ctx, broker.ScanOptions{Topic: r.options.DeadLetters, Since: since, Ends: ends, Retrying: r.options.Retrying},
		func(rec decision.Record) error { return each(&rec) })
}

// addTargets adds every topic that a dead letter came from to the targets.
func (r *Redriver) addTargets(ctx context.Context) error {
	const most = 1000
	r.targets = slices.Clone(r.targets)
	return r.readLetters(ctx, func(rec *decision.Record) error {
		d, err := decision.ParseDeadLetter(rec)
		if err != nil || slices.Contains(r.targets, d.Original.Topic) || d.Original.Topic == r.options.DeadLetters {
			return nil
		}
		if len(r.targets) == most {
			return fmt.Errorf("the dead letters come from more than %d topics; redrive them without --any-topic", most)
		}
		r.targets = append(r.targets, d.Original.Topic)
		return nil
	})
}
