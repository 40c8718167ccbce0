package redrive

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// Redriver sends dead letters back to the topics that they came from, each once.
//
// What went back is committed (see offsetSet), after Kafka acknowledged it. A
// redrive that ends in between, by kill -9 too, leaves copies behind that no commit
// speaks of; so each begins by reading what the target topics got since the last
// one noted their ends, and takes the word of the copies' headers. Where there is
// no note, as Kafka drops commits without a member after
// offsets.retention.minutes, the target topics are read since the oldest dead
// letter.
//
// It belongs to one goroutine, and no two may work on one topic at a time; see Lock.
type Redriver struct {
	o      Options
	bounds map[int]broker.Bound // of the dead letters, at the start
	exist  map[string]bool      // which targets there are
	set    *offsetSet
	noted  map[string]map[int]int64 // the ends of the targets at the last note
}

// New looks at what was redriven before.
func New(ctx context.Context, o Options) (*Redriver, error) {
	o.MaxRedrives = cmp.Or(o.MaxRedrives, 3)
	if o.AwaitLock == nil {
		o.AwaitLock = func(context.Context) error { return nil }
	}
	if o.Refused == nil {
		o.Refused = func(RefusedLetter) {}
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Retrying == nil {
		o.Retrying = func(error) {}
	}
	r := &Redriver{o: o, exist: make(map[string]bool), noted: make(map[string]map[int]int64), set: newOffsetSet(redriveGroup(o.Group), o.DeadLetters)}
	var err error
	if r.bounds, err = topicread.Bounds(ctx, o.Connection, o.DeadLetters); err != nil {
		return nil, err
	}
	if err := r.set.load(ctx, o.Connection, r.bounds); err != nil {
		return nil, err
	}
	if o.AnyTopic {
		if err := r.findTopics(ctx); err != nil {
			return nil, err
		}
	}
	return r, r.recover(ctx)
}

// redriveGroup is the consumer group that holds what was redriven; group is the
// service's own.
func redriveGroup(group string) string { return group + "-redrive" }

// scan reads the dead letters that there were at the start.
func (r *Redriver) readLetters(ctx context.Context, each func(*decision.Record) error) error {
	ends := make(map[int]int64, len(r.bounds))
	for partition, b := range r.bounds {
		ends[partition] = b.End
	}
	since := r.o.Filter.Since
	if !since.IsZero() {
		since = since.Add(-topicread.ClockSkew)
	}
	return r.o.Connection.Scan(ctx, broker.ScanOptions{Topic: r.o.DeadLetters, Since: since, Ends: ends, Retrying: r.o.Retrying},
		func(rec decision.Record) error { return each(&rec) })
}

// findTopics makes every topic that a dead letter names a target.
func (r *Redriver) findTopics(ctx context.Context) error {
	const most = 1000
	r.o.Targets = slices.Clone(r.o.Targets)
	return r.readLetters(ctx, func(rec *decision.Record) error {
		d, err := decision.ParseDeadLetter(rec)
		if err != nil || slices.Contains(r.o.Targets, d.Original.Topic) || d.Original.Topic == r.o.DeadLetters {
			return nil
		}
		if len(r.o.Targets) == most {
			return fmt.Errorf("the dead letters come from more than %d topics", most)
		}
		r.o.Targets = append(r.o.Targets, d.Original.Topic)
		return nil
	})
}
