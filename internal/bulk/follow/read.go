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

// look reads what came since the last look. The ends of results and dead letters
// are taken before those of the decisions, so that each of them finds its decision
// in the tally.
func (f *follower) look(ctx context.Context) error {
	ends := make(map[string]map[int]broker.Bound)
	topics := append([]string{f.o.Results, f.o.DeadLetters}, f.o.Decisions...)
	for _, topic := range topics {
		bounds, err := topicread.Bounds(ctx, f.o.Connection, topic)
		for f.looked && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			f.o.Retrying(err)
			bounds, err = topicread.Bounds(ctx, f.o.Connection, topic)
		}
		if err != nil {
			return err
		}
		ends[topic] = bounds
	}
	f.looked = true
	for _, topic := range f.o.Decisions {
		if err := f.scan(ctx, topic, ends[topic], f.submitted); err != nil {
			return err
		}
	}
	if err := f.scan(ctx, f.o.Results, ends[f.o.Results], f.result); err != nil {
		return err
	}
	return f.scan(ctx, f.o.DeadLetters, ends[f.o.DeadLetters], f.deadLetter)
}

// scan reads a topic from where it was read to these ends.
func (f *follower) scan(ctx context.Context, topic string, bounds map[int]broker.Bound, each func(*decision.Record)) error {
	o := broker.ScanOptions{Topic: topic, Since: f.o.Since, Offsets: f.at[topic], Ends: make(map[int]int64), Retrying: f.o.Retrying}
	for partition, b := range bounds {
		o.Ends[partition] = b.End
		if at, ok := f.at[topic][partition]; !ok && b.First < b.End || ok && at < b.End {
			o.Partitions = append(o.Partitions, partition)
		}
	}
	if len(o.Partitions) > 0 {
		if err := f.o.Connection.Scan(ctx, o, func(rec decision.Record) error {
			f.read++
			each(&rec)
			if now := time.Now(); now.Sub(f.told) >= f.o.Poll {
				f.told = now
				f.o.Progress(f.sum())
			}
			return nil
		}); err != nil {
			return err
		}
	}
	f.at[topic] = o.Ends
	return nil
}

// rescan reads again what scan has read up to these ends.
func (f *follower) rescan(ctx context.Context, topic string, ends map[int]int64, each func(*decision.Record) error) error {
	o := broker.ScanOptions{Topic: topic, Since: f.o.Since, Ends: ends, Retrying: f.o.Retrying, Partitions: slices.Collect(maps.Keys(ends))}
	return f.o.Connection.Scan(ctx, o, func(rec decision.Record) error { return each(&rec) })
}
