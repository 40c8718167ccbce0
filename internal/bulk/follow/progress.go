package follow

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"

	"verdict/consumer/offsets"
	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// groupProgress is what the service's group has committed, by topic and partition; nil: not
// known, since no group is given.
type groupProgress map[string]map[int]*partitionProgress

type partitionProgress struct {
	committed broker.GroupOffset
	settled   *offsets.Tracker // by the commit's metadata; nil: not decoded yet
}

// readProgress reads what the group has committed. What it has committed now was settled
// before, so the round that follows finds how, unless it is missing.
func (f *follower) readProgress(ctx context.Context) error {
	o := &f.options
	if o.Group == "" {
		return nil
	}
	f.progress = make(groupProgress)
	for _, topic := range o.Decisions {
		bounded, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
		committed, err := o.Connection.GroupOffsets(bounded, o.Group, topic)
		cancel()
		switch {
		case errors.Is(err, kafka.GroupAuthorizationFailed):
			// Without a right to know, what is not settled may be waiting.
		case err != nil && f.answered && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			o.Retrying(err) // bounds waits for the end of the outage; nothing is known to be missing
		case err != nil:
			return err
		}
		f.progress[topic] = make(map[int]*partitionProgress, len(committed))
		for partition, offset := range committed {
			f.progress[topic][partition] = &partitionProgress{committed: offset}
		}
	}
	return nil
}

// waits reports whether the group has not committed the record at this place.
func (p groupProgress) waits(at decision.Position) bool {
	if p == nil {
		return false
	}
	in, ok := p[at.Topic][at.Partition]
	if !ok {
		return true
	}
	if c := in.committed; in.settled == nil {
		// Metadata of another program says nothing, and the offset still counts.
		in.settled, _, _ = offsets.Restore(c.Offset, c.Metadata, c.Offset)
	}
	return at.Offset >= in.committed.Offset && !in.settled.Settled(at.Offset)
}
