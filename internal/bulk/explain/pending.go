package explain

import (
	"context"
	"fmt"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
)

// addPending adds an event for each record without a result or dead letter. The event
// says how far the group is from the record.
func (s *search) addPending(ctx context.Context) error {
	committed := make(map[string]map[int]broker.GroupOffset)
	for _, ev := range s.found.Events {
		if ev.Kind != EventSubmitted && ev.Kind != EventRedriven || s.ended[ev.Origin] {
			continue
		}
		at := ev.Origin
		if committed[at.Topic] == nil && s.options.Group != "" {
			ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
			offsets, err := s.options.Connection.GroupOffsets(ctx, s.options.Group, at.Topic)
			cancel()
			if err != nil {
				return err
			}
			committed[at.Topic] = offsets
		}
		ev.Kind, ev.Time = EventPending, decision.Time{Time: time.Now()}
		ev.Note = s.distance(at, committed[at.Topic])
		s.addEvent(ev)
	}
	return nil
}

// distance describes how far the group is from a record.
func (s *search) distance(at decision.Position, committed map[int]broker.GroupOffset) string {
	group, ok := committed[at.Partition]
	switch {
	case s.options.Group == "":
		return "no result and no dead letter was found"
	case !ok:
		return fmt.Sprintf("group %s has committed nothing in %s/%d: is the service running?", s.options.Group, at.Topic, at.Partition)
	case group.Offset > at.Offset:
		return fmt.Sprintf("group %s has committed it, but no result and no dead letter was found: did retention delete it?", s.options.Group)
	default:
		return fmt.Sprintf("group %s has committed %s/%d up to offset %d, %d offsets before it", s.options.Group, at.Topic, at.Partition, group.Offset, at.Offset-group.Offset)
	}
}
