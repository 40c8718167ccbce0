package follow

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// adders take the records that a round reads, in this order. checked is called between
// decisions and results.
type adders struct {
	decision           func(*decision.Record)
	checked            func(context.Context) error
	result, deadLetter func(*decision.Record)
}

// readRound reads what was written since the last round. It notes the ends of results
// and dead letters before those of the decisions, so that a decision is in the tally
// before the record that settles it is read.
func (f *follower) readRound(ctx context.Context, add adders) error {
	o := &f.options
	if err := f.readProgress(ctx); err != nil {
		return err
	}
	bounds := make(map[string]map[int]broker.Bound)
	for _, topic := range append([]string{o.Results, o.DeadLetters}, o.Decisions...) {
		var err error
		if bounds[topic], err = f.bounds(ctx, topic); err != nil {
			return err
		}
	}
	f.answered = true
	if err := f.readLedger(ctx); err != nil {
		return err
	}
	for _, topic := range o.Decisions {
		if err := f.readNew(ctx, topic, bounds[topic], add.decision); err != nil {
			return err
		}
	}
	if err := add.checked(ctx); err != nil {
		return err
	}
	if err := f.readNew(ctx, o.Results, bounds[o.Results], add.result); err != nil {
		return err
	}
	return f.readNew(ctx, o.DeadLetters, bounds[o.DeadLetters], add.deadLetter)
}

// readLedger learns which runs sent the batch. It is called when the ends of the decisions
// are known, since a run is in the ledger before its first row is in the topic.
func (f *follower) readLedger(ctx context.Context) error {
	if f.options.Batch == nil {
		return nil
	}
	b, err := f.options.Batch(ctx)
	if err != nil || b == nil {
		return err
	}
	f.inLedger, f.size, f.unsent = true, b.Size, 0
	if b.Ended.IsZero() {
		f.unsent = b.Size - b.Sent
	}
	if a := b.Approval; a != nil && a.Ended.IsZero() { // it is not in its lane yet
		f.unsent = b.Size - a.Count
	}
	if !b.FirstEdition { // some of whose rows name no run
		f.options.Runs = b.Runs
	}
	return nil
}

// bounds returns the bounds of a topic. Once Kafka has answered, it waits out outages.
func (f *follower) bounds(ctx context.Context, topic string) (map[int]broker.Bound, error) {
	for {
		bounds, err := topicread.Bounds(ctx, f.options.Connection, topic)
		if !f.answered || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return bounds, err
		}
		f.options.Retrying(err)
	}
}

// readNew reads a topic from where the last round ended to these bounds.
func (f *follower) readNew(ctx context.Context, topic string, bounds map[int]broker.Bound, add func(*decision.Record)) error {
	o := broker.ScanOptions{
		Topic: topic, Since: f.options.Since, Offsets: f.readTo[topic], Ends: make(map[int]int64), Retrying: f.options.Retrying,
	}
	for partition, b := range bounds {
		o.Ends[partition] = b.End
		if from, ok := f.readTo[topic][partition]; !ok && b.First < b.End || ok && from < b.End {
			o.Partitions = append(o.Partitions, partition)
		}
	}
	if len(o.Partitions) > 0 {
		err := f.options.Connection.Scan(ctx, o, func(rec decision.Record) error {
			f.read++
			add(&rec)
			if now := time.Now(); now.Sub(f.lastProgress) >= f.options.Poll {
				f.lastProgress = now
				f.options.Progress(f.summary())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.readTo[topic] = o.Ends
	return nil
}

// reread reads again what the rounds read of a topic.
func (f *follower) reread(ctx context.Context, topic string, each func(*decision.Record) error) error {
	ends := f.readTo[topic]
	o := broker.ScanOptions{
		Topic: topic, Since: f.options.Since, Offsets: f.options.Begin[topic], Ends: ends, Retrying: f.options.Retrying, Partitions: slices.Collect(maps.Keys(ends)),
	}
	return f.options.Connection.Scan(ctx, o, func(rec decision.Record) error { return each(&rec) })
}
